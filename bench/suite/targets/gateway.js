'use strict';
// Gateway, once for each engine that really runs: the process says which (`gateway status`), and two that say the same are one.

const fs = require('node:fs');
const path = require('node:path');
const { until, tail } = require('../world');
const { get } = require('../clients/get');

async function startGateways(world, setup) {
  const started = [];
  for (const engine of setup.engines ?? ['loops', 'kestrel']) {
    const target = await startGateway(world, { ...setup, engine });
    if (started.some((other) => other.name === target.name)) await world.stop(target.process);
    else started.push(target);
  }

  return started;
}

async function startGateway(world, { engine, backends, certificate, accessLog, programs, hosts }) {
  const ports = hosts > 0 ? { edge: await world.port() } : {};
  if (!hosts) for (const name of ['http', 'https', 'tcp', 'ws']) ports[name] = await world.port();
  const admin = await world.port();
  const folder = path.dirname(world.file(`gateway-${engine}-${admin}/gateway.yaml`));
  const instances = (name, list, tag) => list.map((port, i) =>
    `  - { Name: ${name}, ID: ${name}-${i}, Address: 127.0.0.1, Port: ${port}, Tags: [production${tag ? `, ${tag}` : ''}] }`);
  fs.writeFileSync(path.join(folder, 'catalog.yaml'), ['services:',
    ...instances('web', backends.http, ports.http && `internal-listen-http-${ports.http}`),
    ...(hosts ? [] : instances('echo', backends.ws, `internal-listen-http-${ports.ws}`)),
    ...(hosts ? [] : instances('raw', backends.http, `internal-listen-tcp-${ports.tcp}`)), ''].join('\n'));

  const names = hosts > 0 ? Array.from({ length: hosts }, (_, i) => `h${i}.bench.example`) : ['bench.example'];
  if (!hosts) {
    fs.mkdirSync(path.join(folder, 'certificates'));
    fs.copyFileSync(certificate.chain, path.join(folder, 'certificates/bench.crt'));
    fs.copyFileSync(certificate.key, path.join(folder, 'certificates/bench.key'));
  }

  const config = path.join(folder, 'gateway.yaml');
  fs.writeFileSync(config, `
catalog: { files: [catalog.yaml] }
stateDirectory: ${folder}/state
engine: ${engine}
admin: { listen: "127.0.0.1:${admin}" }
internal: { addresses: [127.0.0.1] }
external:
  ${hosts > 0 ? `http: ["127.0.0.1:${ports.edge}"]` : `https: ["127.0.0.1:${ports.https}"]\n  certificates: ${folder}/certificates`}
  headers: {}
  hosts:
${names.map((name) => `    ${name}: web@production`).join('\n')}
log: { access: ${accessLog ? `{ format: json, file: "${folder}/access.log" }` : 'off'} }
drain: { grace: 0s, idle: 0s, timeout: 1s }
`);
  if (ports.http) ports.h2c = ports.http; // told apart by the first bytes
  const command = [path.join(programs.gateway, 'gateway'), ['run', '--config', config]];
  const process = world.start(`gateway-${engine}`, ...command);
  return { name: `gateway-${await engineOf(process, admin)}`, process, ports, admin, command, engine };
}

/** The first word of what the process says of itself; what it was asked for may be something else. */
async function engineOf(process, admin) {
  const answer = await until('gateway tells its engine', 40, async () => {
    if (process.ended !== null) throw new Error(`gateway ended: ${process.ended}\n${tail(process.log)}`);
    const status = await get(admin, '/api/v1/status', { host: '127.0.0.1' });
    return status.status === 200 && JSON.parse(status.body);
  });
  return answer.engine.split(' ')[0];
}

module.exports = { startGateways };
