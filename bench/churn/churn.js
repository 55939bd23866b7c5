'use strict';
// What run.sh calls: changes the catalog, keeps a light load up, samples the process, and writes a dated pair of files
// (Markdown and JSON). Everything comes by environment, see run.sh. Exit code 1: something grew, or a request failed.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const env = process.env;
const number = (name) => Number(env[name]);
const [pid, length, rate, every] = ['PID', 'LENGTH', 'RATE', 'SAMPLE'].map(number);
const ports = env.CHURNED.split(' ').map(Number);
const services = ports.length / 2;
const quick = new http.Agent({ keepAlive: true, maxSockets: 2 });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function ask(port, method, url, body, agent) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path: url, agent, timeout: 15000 }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => resolve({ status: answer.statusCode, text, reused: request.reusedSocket }));
      answer.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in 15 s')));
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

async function tell(url, body) {
  const answer = await ask(number('CATALOG'), 'PUT', url, body, quick);
  if (answer.status !== 200) {
    throw new Error(`PUT ${url}: ${answer.status} ${answer.text}`);
  }
}

const register = (name, id, port, ...tags) => tell('/v1/agent/service/register', { Name: name, ID: id, Address: '127.0.0.1', Port: port, Tags: tags });
const deregister = (id) => tell(`/v1/agent/service/deregister/${id}`);

// 1. The load: about 60 requests a second.
const load = { requests: 0, failures: 0, renewed: 0, samples: [] };
let running = true;

async function worker(what, pause, request) {
  while (running) {
    try {
      await request();
    } catch (error) {
      load.failures += 1;
      if (load.samples.length < 20) {
        load.samples.push(`${new Date().toISOString()} ${what}: ${error.message}`);
      }
    }

    load.requests += 1;
    await wait(pause);
  }
}

function get(agent, kept) {
  let first = true;
  return async () => {
    const answer = await ask(number('HTTP'), 'GET', '/load', undefined, agent);
    if (answer.status !== 200) {
      throw new Error(`${answer.status} ${answer.text}`);
    }

    load.renewed += kept && !first && !answer.reused ? 1 : 0;
    first = false;
  };
}

function relay() {
  let socket;
  return () => new Promise((resolve, reject) => {
    const fail = (error) => { socket.destroy(); socket = undefined; reject(error); };
    if (!socket) {
      socket = net.connect(number('TCP'), '127.0.0.1');
      socket.setNoDelay(true);
    }

    socket.removeAllListeners();
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('the relay was closed')));
    socket.once('data', resolve);
    socket.setTimeout(15000, () => fail(new Error('no echo in 15 s')));
    socket.write('0123456789abcdef');
  });
}

// 2. The changes, in turn over the services: come, one more port, TCP and another balance, an instance of staging, gone.
async function change(count) {
  const service = count % services;
  const [name, first, second] = [`churn-${service}`, ports[2 * service], ports[(2 * service) + 1]];
  switch (Math.floor(count / services) % 5) {
    case 0: return register(name, `${name}-1`, number('SERVER'), 'production', `internal-listen-http-${first}`);
    case 1: return register(name, `${name}-1`, number('SERVER'), 'production', `internal-listen-http-${first}`, `internal-listen-http-${second}`, `gateway-weight=${1 + (count % 90)}`);
    case 2: return register(name, `${name}-1`, number('ECHO'), 'production', `internal-listen-tcp-${second}`, 'balance-leastconn', 'internal-listen-http-99999');
    case 3: return register(name, `${name}-2`, number('SERVER'), 'staging', `internal-listen-http-${first}`);
    default:
      await deregister(`${name}-1`);
      return deregister(`${name}-2`);
  }
}

// 3. The samples.
async function sample() {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const metrics = (await ask(number('ADMIN'), 'GET', '/metrics', undefined, quick)).text;
  const metric = (name) => metrics.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  return {
    rssAnonKiB: Number(/RssAnon:\s+(\d+)/.exec(status)[1]),
    threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
    descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
    timers: metric('dotnet_timers'),
    applies: metric('gateway_plan_applies_total'),
    closedByApply: metric('gateway_connections_closed_by_apply_total'),
    problems: metric('gateway_problems'),
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// What may grow from the first quarter to the last without being a leak: a tenth, and what a short run still warms up.
const slack = { rssAnonKiB: 32 * 1024, threads: 6, descriptors: 12, timers: 16 };
const names = { rssAnonKiB: 'anonymous memory, KiB', threads: 'threads', descriptors: 'descriptors', timers: 'timers' };

async function main() {
  await register('steady', 'steady-1', number('SERVER'), 'production', `internal-listen-http-${env.HTTP}`);
  await register('steady-tcp', 'steady-tcp-1', number('ECHO'), 'production', `internal-listen-tcp-${env.TCP}`);
  for (let tries = 0; ; tries += 1) {
    const answer = await ask(number('HTTP'), 'GET', '/', undefined).catch(() => undefined);
    if (answer?.status === 200) {
      break;
    }

    if (tries > 100) {
      throw new Error('the steady service does not answer');
    }

    await wait(100);
  }

  const agents = [1, 2, 3].map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  const workers = [
    ...agents.map((agent) => worker('kept connection', 60, get(agent, true))),
    worker('new connection', 150, get(false, false)),
    worker('relay', 100, relay()),
  ];

  const samples = [];
  const started = Date.now();
  const before = await sample();
  let changes = 0;
  const churning = (async () => {
    while (Date.now() - started < length * 1000) {
      await change(changes);
      changes += 1;
      await wait(Math.max(0, started + ((changes * 1000) / rate) - Date.now()));
    }
  })();
  const sampling = (async () => {
    while (Date.now() - started < length * 1000) {
      samples.push({ second: Math.round((Date.now() - started) / 1000), ...await sample() });
      await wait(every * 1000);
    }
  })();
  await Promise.all([churning, sampling]);

  // 4. Everything that churned goes; descriptors and timers must come back to the start.
  for (let service = 0; service < services; service += 1) {
    await deregister(`churn-${service}-1`).catch(() => {});
    await deregister(`churn-${service}-2`).catch(() => {});
  }

  const back = (now) => ['descriptors', 'timers', 'threads'].every((key) => now[key] <= before[key] + slack[key]);
  let after = await sample();
  for (let second = 0; second < 180 && !back(after); second += 1) {
    await wait(1000);
    after = await sample();
  }

  running = false;
  await Promise.all(workers);

  // 5. The verdict.
  // A quarter that is shorter than one turn of all services has more of them, or fewer, than another.
  const comparable = changes >= 4 * 5 * services;
  const quarter = Math.max(1, samples.length >> 2);
  const rows = Object.keys(names).map((key) => {
    const [first, last] = [median(samples.slice(0, quarter).map((s) => s[key])), median(samples.slice(-quarter).map((s) => s[key]))];
    return { key, before: before[key], first, last, highest: Math.max(...samples.map((s) => s[key])), after: after[key], flat: !comparable || last <= (first * 1.1) + slack[key] };
  });
  const flat = rows.every((row) => row.flat) && back(after);
  const good = flat && load.failures === 0 && after.closedByApply === 0;
  const date = new Date();
  const about = { date: `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`, commit: env.COMMIT, command: env.COMMAND, machine: env.MACHINE, versions: env.VERSIONS };
  const lines = [
    `# Churn of the catalog for ${length} s, ${about.date}: ${good ? 'flat' : 'NOT FLAT'}`,
    '',
    `- Commit ${about.commit}`,
    `- Machine: ${about.machine}`,
    `- Versions: ${about.versions}`,
    `- Command: \`${about.command}\``,
    '',
    `${changes} changes (${env.SOURCE}), ${after.applies - before.applies} applies; ${load.requests} requests, **${load.failures} failed**, `
      + `${load.renewed} kept connections renewed, ${after.closedByApply} closed by an apply; ${samples.length} samples.`,
    '',
    '| what | before | first quarter, median | last quarter, median | highest | after | flat |',
    '|---|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${names[row.key]} | ${row.before} | ${row.first} | ${row.last} | ${row.highest} | ${row.after} | ${!comparable ? 'too short' : row.flat ? 'yes' : '**no**'} |`),
    '',
    'After: the services that churned are gone. Flat: the last quarter is at most a tenth above the first, and '
      + Object.entries(slack).map(([key, value]) => `${value} ${names[key]}`).join('; ') + ' for what a short run still warms up. Fewer than '
      + `${20 * services} changes are too short to compare; then only the state after counts.`,
    ...(load.samples.length ? ['', 'Failures:', '', ...load.samples.map((text) => `- ${text}`)] : []),
    '',
  ];
  const file = path.join(env.OUT, `${date.toISOString().slice(0, 16).replace('T', '-').replace(':', '')}-churn`);
  fs.mkdirSync(env.OUT, { recursive: true });
  fs.writeFileSync(`${file}.md`, lines.join('\n'));
  fs.writeFileSync(`${file}.json`, `${JSON.stringify({ ...about, changes, load, rows, before, after, samples }, null, 1)}\n`);
  console.log(lines.join('\n'));
  console.log(`written to ${file}.md and .json`);
  process.exit(good ? 0 : 1);
}

main().catch((error) => { console.error(error); process.exit(1); });
