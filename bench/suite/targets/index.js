'use strict';
// Every target has the same features in front of the same servers: two servers in turn, health checks every 10 s (nginx has
// none to give), X-Forwarded-For appended, HAProxy's usual timeouts, keep-alive on both sides, access log off or on for all.
// A target is {name, process, ports, notes}; a port it does not have is a load it does not run.

const { until, tail } = require('../world');
const { get } = require('../clients/get');
const { startGateways } = require('./gateway');
const { startHaproxy } = require('./haproxy');
const { startNginx } = require('./nginx');
const { startYarp } = require('./yarp');

const STARTERS = { haproxy: startHaproxy, gateway: startGateways, nginx: startNginx, yarp: startYarp };
const KINDS = Object.keys(STARTERS);

/**
 * Starts targets of these kinds and waits until each answers on each of its ports, TLS 1.3 where it is TLS.
 * setup: {backends, certificate, accessLog, programs, engines, hosts (names on the edge listener; 0: everything else instead)}
 */
async function startTargets(world, kinds, setup) {
  const targets = (await Promise.all(kinds.map((kind) => STARTERS[kind](world, setup)))).flat();
  await Promise.all(targets.map((target) => awaitAnswers(target, setup)));
  return targets;
}

async function awaitAnswers(target, setup) {
  for (const [name, port] of Object.entries(target.ports)) {
    const tls = name === 'https';
    if (name === 'h2c') continue; // speaks no HTTP/1.1; the loads will see
    const path = name === 'ws' ? '/ws' : '/small';
    const host = setup.hosts > 0 ? 'h0.bench.example' : 'bench.example';
    let last;
    try {
      await until(`${target.name} answers on its ${name} port`, 40, async () => {
        if (target.process.ended !== null) throw new Error(`${target.name} ended: ${target.process.ended}`);
        last = await get(port, path, { tls, host });
        return last.status === 200;
      });
    } catch (error) {
      throw new Error(`${error.message} (status ${last?.status})\n${tail(target.process.log)}`);
    }

    if (tls) {
      target.tls = `${last.protocol} ${last.cipher}`;
      if (last.protocol !== 'TLSv1.3') throw new Error(`${target.name} speaks ${last.protocol}: versions must match`);
    }
  }
}

module.exports = { KINDS, awaitAnswers, startTargets };
