'use strict';
// From the start of the process to the first 200 through one of its ports, and what it holds when nobody asks anything. Gateway:
// the embedded catalog with 3 services on its disk, warm. The others: as in the other loads.

const fs = require('node:fs');
const path = require('node:path');
const http = require('node:http');
const { sleep, until } = require('../world');
const { memory } = require('../proc');
const { get } = require('../clients/get');
const { startTargets } = require('../targets');

const IDLE_SECONDS = 5;

/** Milliseconds from here to the first 200; asks again as soon as a connect is refused. */
async function startAndAsk(run, candidate) {
  const from = performance.now();
  const process = run.world.start(`start-${candidate.name}`, ...candidate.command);
  await until(`${candidate.name} answers`, 40, async () => {
    if (process.ended !== null) throw new Error(`${candidate.name} ended: ${process.ended}\n${fs.readFileSync(process.log, 'utf8').slice(-800)}`);
    return (await get(candidate.port, '/small')).status === 200;
  }, 1);
  return { process, took: performance.now() - from };
}

/** A gateway whose own catalog knows three services. */
async function embedded(run, engine) {
  const { world, setup } = run;
  const [admin, catalog, ...ports] = [await world.port(), await world.port(), await world.port(), await world.port(), await world.port()];
  const folder = path.dirname(world.file(`start-${engine}/gateway.yaml`));
  fs.writeFileSync(path.join(folder, 'gateway.yaml'), `
catalog: { embedded: { listen: "127.0.0.1:${catalog}" } }
stateDirectory: ${folder}/state
engine: ${engine}
admin: { listen: "127.0.0.1:${admin}" }
internal: { addresses: [127.0.0.1] }
log: { access: off }
drain: { grace: 0s, idle: 0s, timeout: 1s }
`);
  const command = [path.join(setup.programs.gateway, 'gateway'), ['run', '--config', path.join(folder, 'gateway.yaml')]];
  const process = world.start(`start-gateway-${engine}`, ...command);
  await until('the embedded catalog answers', 40, async () => (await get(catalog, '/v1/status/leader')).status === 200);
  for (const [i, port] of ports.entries()) {
    await put(catalog, '/v1/agent/service/register', {
      ID: `s${i}`, Name: `s${i}`, Address: '127.0.0.1', Port: setup.backends.http[i % 2], Tags: ['production', `internal-listen-http-${port}`],
    });
  }

  for (const port of ports) await until('a registered service answers', 20, async () => (await get(port, '/small')).status === 200);
  const status = JSON.parse((await get(admin, '/api/v1/status', { host: '127.0.0.1' })).body);
  await world.stop(process);
  return { name: `gateway-${status.engine.split(' ')[0]}`, command, port: ports[2] };
}

function put(port, url, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: url, method: 'PUT', headers: { 'Content-Type': 'application/json' } }, (response) => {
      response.resume();
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`PUT ${url}: ${response.statusCode}`))));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

async function candidates(run) {
  const found = [];
  for (const kind of run.kinds.filter((each) => each !== 'gateway')) {
    const [target] = await startTargets(run.world, [kind], run.setup);
    await run.world.stop(target.process);
    found.push({ name: target.name, command: target.command, port: target.ports.http });
  }

  if (!run.kinds.includes('gateway')) return found;
  for (const engine of run.setup.engines ?? ['loops', 'kestrel']) {
    const one = await embedded(run, engine);
    if (!found.some((other) => other.name === one.name)) found.push(one);
  }

  return found;
}

module.exports = [{
  name: 'start',
  title: 'Start to first answer, then idle (Gateway: embedded catalog with 3 services on disk)',
  metrics: [['ms', 'ms to the first answer', 0], ['idleMib', `RssAnon + Pss of files after ${IDLE_SECONDS} s, MiB`, 1]],
  also: [['idleMib', 'The same process idle: RssAnon + Pss of files', 'MiB']],
  roundsMax: 5,

  async special(run) {
    const all = await candidates(run);
    await run.rounds(async (record, round) => {
      for (const candidate of round % 2 ? all : [...all].reverse()) {
        const { process, took } = await startAndAsk(run, candidate);
        if (!run.short) await sleep(IDLE_SECONDS * 1_000);
        const { rssAnon, pssFile } = memory(process.pid);
        record(candidate.name, { ms: took, idleMib: (rssAnon + pssFile) / 1_024 });
        await run.world.stop(process);
      }
    });
  },
}];
