'use strict';
// bench/run.sh: arguments, what is needed, the order of things, the exit code.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { World, output, which } = require('./world');
const { LOADS, choose } = require('./loads');
const { KINDS, startTargets } = require('./targets');
const { startBackends } = require('./backends');
const { measure } = require('./rounds');
const { about } = require('./about');
const { summarize, text, write } = require('./report');
const { writeReadme } = require('./readme');

const ROOT = path.join(__dirname, '../..');
const SHORT_AT_ONCE = 4;
const HELP = `bench/run.sh [LOAD...] [switches]
  --rounds N        rounds that count (7)
  --seconds N       seconds of a turn (3)
  --warm N          seconds of a target's warm-up before each load (6)
  --targets LIST    of ${KINDS.join(',')} (all; HAProxy is the reference)
  --engines LIST    of Gateway: loops,kestrel (both; two that turn out to be the same are measured once)
  --access-log      every target writes one
  --short           every load once for a second with few connections, targets side by side; nothing is stored
  --gateway DIR     a published Gateway; default: publishes this source, Release
  --yarp DIR        a published bench/Gateway.StockYarp; the same
  --out DIR         where results go (bench/results)
  --limit SECONDS   gives up after so many (--short: 120; else 14400)
  --list, --readme, --help`;

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '3' }, warm: { type: 'string', default: '6' },
      targets: { type: 'string', default: KINDS.join(',') }, engines: { type: 'string', default: 'loops,kestrel' },
      'access-log': { type: 'boolean', default: false }, short: { type: 'boolean', default: false }, gateway: { type: 'string' }, yarp: { type: 'string' },
      out: { type: 'string', default: path.join(ROOT, 'bench/results') }, limit: { type: 'string' },
      list: { type: 'boolean' }, readme: { type: 'boolean' }, help: { type: 'boolean' },
    },
  });
  const whole = (name, text) => {
    if (!/^[1-9]\d*$/.test(text)) throw new RangeError(`--${name} ${text}: must be a whole number above 0`);
    return Number(text);
  };
  const kinds = KINDS.filter((kind) => values.targets.split(',').includes(kind));
  const strange = values.targets.split(',').find((kind) => !KINDS.includes(kind));
  if (strange !== undefined) throw new RangeError(`--targets ${strange}: must be of ${KINDS.join(', ')}`);
  return {
    ...values, kinds, loads: choose(positionals), engines: values.engines.split(','), rounds: whole('rounds', values.rounds),
    seconds: whole('seconds', values.seconds), warm: whole('warm', values.warm), limit: whole('limit', values.limit ?? (values.short ? '120' : '14400')),
  };
}

function missing(kinds) {
  const programs = ['nginx', 'wrk', 'h2load', 'openssl', 'curl', 'getconf', ...kinds.includes('haproxy') ? ['haproxy'] : []];
  return programs.filter((program) => !which(program));
}

function publish(world, project, given) {
  if (given) return path.resolve(given);
  const folder = path.join(world.folder, path.basename(project));
  say(`publishing ${project}`);
  try {
    output('dotnet', ['publish', path.join(ROOT, project), '-c', 'Release', '-o', folder, '--nologo', '-v', 'q', '-p:RunAnalyzers=false',
      '-p:UseSharedCompilation=false', '-nodeReuse:false']);
  } catch (error) {
    throw new Error(`${project} does not build:\n${error.stdout.slice(-2_000)}`);
  }

  return folder;
}

/** ECDSA P-256, as most certificates are now. */
function certificate(world) {
  const [key, chain] = [world.file('bench.key'), world.file('bench.crt')];
  output('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', chain, '-days', '2',
    '-subj', '/CN=bench.example', '-addext', 'subjectAltName=DNS:bench.example,DNS:*.bench.example']);
  return { key, chain };
}

const started = Date.now();
const say = (line) => console.error(`[${((Date.now() - started) / 1_000).toFixed(0).padStart(4)} s] ${line}`);

async function run(options) {
  const world = new World();
  const abandon = (code, why) => {
    if (why) say(why);
    world.kill();
    process.exit(code);
  };
  process.on('SIGINT', () => abandon(130)).on('SIGTERM', () => abandon(143)).on('SIGHUP', () => abandon(129));
  process.on('uncaughtException', (error) => abandon(1, error.stack)).on('unhandledRejection', (error) => abandon(1, error?.stack ?? String(error)));
  setTimeout(() => abandon(1, `out of time: --limit ${options.limit}`), options.limit * 1_000).unref();

  const records = [];
  try {
    const programs = {
      gateway: options.kinds.includes('gateway') ? publish(world, 'src/Gateway.Cli', options.gateway) : null,
      yarp: options.kinds.includes('yarp') ? publish(world, 'bench/Gateway.StockYarp', options.yarp) : null,
    };
    const setup = {
      backends: await startBackends(world), certificate: certificate(world), accessLog: options['access-log'], programs, engines: options.engines, hosts: 0,
    };
    const facts = about(ROOT, options);
    let plain = null;
    const suite = {
      world, setup, say, kinds: options.kinds, short: options.short, roundCount: options.rounds, seconds: options.seconds, warm: options.warm,
      async plainTargets() {
        plain ??= start();
        return plain;
      },
      async stopPlainTargets() {
        await Promise.all((await plain ?? []).map((target) => world.stop(target.process)));
        plain = null;
      },
    };
    const start = async () => {
      const targets = await startTargets(world, options.kinds, setup);
      const gateways = targets.filter((target) => target.engine);
      if (gateways.length > 0) setup.engines = gateways.map((target) => target.engine); // asked for twice is the same twice
      facts.targets = Object.fromEntries(targets.map((target) => [target.name, target.tls]));
      say(`running: ${targets.map((target) => target.name).join(', ')}`);
      return targets;
    };
    const able = options.loads.filter((load) => (load.needs ?? []).every(which));
    for (const load of options.loads) if (!able.includes(load)) say(`${load.name}: SKIPPED, ${load.needs.join(', ')} is missing`);
    const waiting = [...able];
    const worker = async () => {
      for (let load = waiting.shift(); load; load = waiting.shift()) await one(load);
    };
    const one = async (load) => {
      const record = await measure(suite, load);
      records.push(record);
      for (const { target, round, text } of record.errors) say(`${load.name}: ${target}, ${round === 0 ? 'warm-up' : `round ${round}`}: ${text}`);
      if (options.short) say(`${load.name}: ${record.errors.length === 0 ? 'ok' : 'FAILED'}`);
      else write({ ...facts, loadAverageAtTheEnd: os.loadavg().map((value) => value.toFixed(2)).join(' ') }, records.map(summarize), options.out);
    };
    if (options.short) await suite.plainTargets();
    await Promise.all(Array.from({ length: options.short ? SHORT_AT_ONCE : 1 }, worker));

    if (options.short) {
      console.log(`${records.filter((record) => record.errors.length === 0).length} loads ok, ${records.filter((record) => record.errors.length > 0).length} failed`);
    } else {
      console.log(text({ ...facts, loadAverageAtTheEnd: os.loadavg().map((value) => value.toFixed(2)).join(' ') }, records.map(summarize)));
    }
  } finally {
    await world.end();
  }

  return records.some((record) => record.errors.length > 0) ? 1 : 0;
}

async function main() {
  let chosen;
  try {
    chosen = options();
  } catch (error) {
    console.error(`${error.message}\n\n${HELP}`);
    return 2;
  }

  if (chosen.help) { console.log(HELP); return 0; }
  if (chosen.list) { for (const load of LOADS) console.log(`${load.name.padEnd(14)} ${load.title}`); return 0; }
  if (chosen.readme) { writeReadme(ROOT, chosen.out); return 0; }
  const absent = missing(chosen.kinds);
  if (absent.length > 0) { console.error(`missing: ${absent.join(', ')}`); return 2; }
  fs.mkdirSync(chosen.out, { recursive: true });
  return run(chosen);
}

main().then((code) => process.exit(code), (error) => { say(error.message); process.exit(1); });
