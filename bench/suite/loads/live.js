'use strict';
// How soon Consul's news is traffic, and what it costs. A real Consul agent holds N services, each routed by a host name of its
// own at the edge and with a passing check. One transaction replaces the only instance of one service by another. Between
// Consul and Gateway sits a tap that relays HTTP and notes when the last byte of each answer was handed to the kernel.
//
// live:  from the last byte of the first blocking answer with a new index, to the first byte of an answer by the new instance, on a
//        connection that asks without pause. `fromLast` counts from the last byte of any answer of Consul before that.
//        The guard is off: to it, a service whose instances vanish every second while they still answer looks like an accident.
// apply: CPU that Gateway's process spends per such change (reading Consul, planning, applying), less what it spends at rest.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { sleep, until } = require('../world');
const { cpu } = require('../proc');
const { get } = require('../clients/get');

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

function put(port, url, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: url, method: 'PUT', agent }, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`PUT ${url}: ${response.statusCode} ${text.slice(0, 200)}`))));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

const instance = (service, id, port) => [
  { Service: { Verb: 'set', Node: 'bench', Service: {
    ID: id, Service: service, Address: '127.0.0.1', Port: port, Tags: ['production', `external-host-${service}.bench.example`, 'gateway-check=none'],
  } } },
  { Check: { Verb: 'set', Check: { Node: 'bench', CheckID: `check:${id}`, Name: 'check', Status: 'passing', ServiceID: id } } },
];

async function startConsul(run, services) {
  const { world, setup } = run;
  const [port, ...others] = [await world.port(), await world.port(), await world.port(), await world.port()];
  const process = world.start('consul', 'consul', [
    'agent', '-dev', '-bind=127.0.0.1', '-node=agent', '-log-level=err',
    // Both engines are measured, each with its watches, and all come from one address.
    '-hcl', 'limits { http_max_conns_per_client = 4000 }', `-http-port=${port}`, '-dns-port=-1', '-grpc-port=-1',
    `-server-port=${others[0]}`, `-serf-lan-port=${others[1]}`, `-serf-wan-port=${others[2]}`,
  ]);
  await until('consul has a leader', 30, async () => /:\d/.test((await get(port, '/v1/status/leader')).body));
  await put(port, '/v1/txn', [{ Node: { Verb: 'set', Node: { Node: 'bench', Address: '127.0.0.1' } } }]);
  for (let i = 0; i < services; i += 30) {
    const some = Array.from({ length: Math.min(30, services - i) }, (_, k) => `s${i + k}`);
    await put(port, '/v1/txn', some.flatMap((name) => instance(name, `${name}-0`, setup.backends.http[0])));
  }

  return { port, process };
}

/** Relays to Consul; `answers` collects {at: of the last byte so far, news: a blocking answer with a new index}. */
async function startTap(run, consulPort) {
  const tap = { port: await run.world.port(), answers: [] };
  tap.server = http.createServer((request, response) => {
    const onward = http.request({
      host: '127.0.0.1', port: consulPort, path: request.url, method: request.method, headers: request.headers, agent,
    }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      const asked = new URL(request.url, 'http://x').searchParams.get('index');
      const entry = { at: performance.now(), news: asked !== null && answer.headers['x-consul-index'] !== asked, url: request.url };
      tap.answers.push(entry);
      // Not by `finish`, which may come after Gateway has already acted on a body whose length it knows.
      answer.on('data', (chunk) => { response.write(chunk); entry.at = performance.now(); });
      answer.on('end', () => response.end());
      answer.on('error', () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => { tap.server.listen(tap.port, '127.0.0.1', resolve); });
  return tap;
}

/** Asks without pause on one connection; resolves with the time at which `wanted` first answered. */
function askUntil(port, host, wanted) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const timer = setTimeout(() => { socket.destroy(); reject(new Error(`${host} was not moved within 60 s`)); }, 60_000);
    const ask = () => socket.write(`GET /who HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    let text = '';
    socket.on('connect', ask);
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const body = text.indexOf('\r\n\r\n') + 4;
      if (body < 4 || text.length < body + 5) return; // the ports have five digits
      if (!text.startsWith('HTTP/1.1 200')) { clearTimeout(timer); socket.destroy(); reject(new Error(text.split('\r\n')[0])); return; }
      if (text.slice(body) === String(wanted)) { clearTimeout(timer); socket.destroy(); resolve(performance.now()); return; }
      text = '';
      ask();
    });
  });
}

async function startGateway(run, engine, consulPort, services) {
  const { world, setup } = run;
  const [admin, edge] = [await world.port(), await world.port()];
  const folder = path.dirname(world.file(`live-${engine}-${edge}/gateway.yaml`));
  fs.writeFileSync(path.join(folder, 'gateway.yaml'), `
catalog: { consul: { address: "http://127.0.0.1:${consulPort}" }, guard: { above: off } }
stateDirectory: ${folder}/state
engine: ${engine}
admin: { listen: "127.0.0.1:${admin}" }
internal: { addresses: [127.0.0.1] }
external: { http: ["127.0.0.1:${edge}"] }
log: { access: off }
drain: { grace: 0s, idle: 0s, timeout: 1s }
`);
  const process = world.start(`live-${engine}`, path.join(setup.programs.gateway, 'gateway'), ['run', '--config', path.join(folder, 'gateway.yaml')]);
  for (const name of ['s0', `s${services - 1}`]) {
    await until(`${name} answers`, 90, async () => {
      if (process.ended !== null) throw new Error(`gateway ended: ${process.ended}\n${fs.readFileSync(process.log, 'utf8').slice(-800)}`);
      return (await get(edge, '/who', { host: `${name}.bench.example` })).status === 200;
    }, 100);
  }

  const status = JSON.parse((await get(admin, '/api/v1/status', { host: '127.0.0.1' })).body);
  return { name: `gateway-${status.engine.split(' ')[0]}`, process, edge };
}

/** Runs `measure(gateway, change)` for each engine; change(i) replaces the instance and returns the port of the new one. */
async function withWorld(run, services, measure) {
  const { world, setup } = run;
  const consul = await startConsul(run, services);
  const tap = await startTap(run, consul.port);
  const done = [];
  let version = 0;
  const change = async () => {
    const [old, fresh] = [`s0-${version}`, `s0-${++version}`];
    const port = setup.backends.http[version % 2];
    await put(consul.port, '/v1/txn', [...instance('s0', fresh, port), { Service: { Verb: 'delete', Node: 'bench', Service: { ID: old, Service: 's0' } } }]);
    return port;
  };
  const next = () => setup.backends.http[(version + 1) % 2];
  try {
    for (const engine of setup.engines ?? ['loops', 'kestrel']) {
      const gateway = await startGateway(run, engine, tap.port, services);
      if (!done.includes(gateway.name)) await measure({ gateway, tap, change, next });
      done.push(gateway.name);
      await world.stop(gateway.process);
    }
  } finally {
    tap.server.close();
    tap.server.closeAllConnections();
    await world.stop(consul.process);
  }
}

const live = (services) => ({
  name: `live-${services}`,
  title: `Consul's answer to traffic, ${services.toLocaleString('en')} services`,
  metrics: [['ms', 'ms from the blocking answer', 1], ['fromLast', 'ms from the last answer read', 1], ['whole', 'ms from the change', 1]],
  roundsMax: 1,
  kinds: ['gateway'],
  needs: ['consul'],

  async special(run) {
    await run.rounds((record) => withWorld(run, run.short ? Math.min(services, 100) : services, async ({ gateway, tap, change, next }) => {
      for (let i = run.short ? 0 : -3; i < (run.short ? 1 : 21); i++) {
        await sleep(run.short ? 100 : 500 + services / 10); // below the pace at which Gateway begins to gather changes
        tap.answers.length = 0;
        const routed = askUntil(gateway.edge, 's0.bench.example', next());
        routed.catch(() => {}); // awaited below; the change may fail first
        await sleep(50);
        const changed = performance.now();
        await change();
        const at = await routed;
        const before = tap.answers.filter((answer) => answer.at >= changed && answer.at <= at);
        const first = before.find((answer) => answer.news);
        if (!first) throw new Error(`routed without news of Consul: ${JSON.stringify(tap.answers)}, changed ${changed}, routed ${at}`);
        if (i >= 0) record(gateway.name, { ms: at - first.at, fromLast: at - before.at(-1).at, whole: at - changed });
      }
    }));
  },
});

const apply = {
  name: 'apply',
  title: 'One change among 10,000 services',
  metrics: [['cpuMs', 'ms of CPU per change, all included', 1]],
  roundsMax: 1,
  kinds: ['gateway'],
  needs: ['consul'],

  async special(run) {
    await run.rounds((record) => withWorld(run, run.short ? 100 : 10_000, async ({ gateway, change, next }) => {
      const CHANGES = run.short ? 1 : 5;
      const REST = run.short ? 200 : 2_000;
      for (let i = run.short ? 0 : -1; i < (run.short ? 1 : 7); i++) {
        const [from, begin] = [cpu(gateway.process.pid), performance.now()];
        await sleep(REST);
        const atRest = (cpu(gateway.process.pid) - from) / (performance.now() - begin);
        const [before, since] = [cpu(gateway.process.pid), performance.now()];
        for (let k = 0; k < CHANGES; k++) {
          const wanted = next();
          await change();
          await until('the change is traffic', 60, async () => (await get(gateway.edge, '/who', { host: 's0.bench.example' })).body === String(wanted), 50);
          await sleep(REST / 2);
        }

        const spent = cpu(gateway.process.pid) - before - atRest * (performance.now() - since);
        if (i >= 0) record(gateway.name, { cpuMs: Math.max(0, spent) / 1_000 / CHANGES });
      }
    }));
  },
};

module.exports = [live(100), live(1_000), live(10_000), apply];
