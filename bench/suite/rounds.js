'use strict';
// Runs one load: warm-up turns that do not count, then rounds in which every target has one turn, in another order each time.

const { cpu, memory } = require('./proc');
const { startTargets } = require('./targets');

const RATE_METRICS = [
  ['cpu', null, 2], // named by the load's unit
  ['perSecond', 'per second', 0],
  ['p50', 'p50, µs', 0],
  ['p99', 'p99, µs', 0],
  ['rssAnon', 'RssAnon, MiB', 1],
  ['pss', 'Pss, MiB', 1],
];

const metricsOf = (load) => load.metrics ?? RATE_METRICS.map(([key, label, digits]) => [key, label ?? load.unit, digits]);

/** Rotated by one each round, and turned around every other time: nobody always follows the same neighbor. */
function ordered(list, round) {
  const turned = list.map((_, i) => list[(i + round) % list.length]);
  return round % 2 ? turned : turned.reverse();
}

/** Rows {target, round, reference, base, values} and errors of a load. */
class Record {
  constructor(load) {
    Object.assign(this, { load, rows: [], errors: [] });
  }

  add(target, round, values, relations = {}) {
    this.rows.push({ target, round, reference: 'haproxy', ...relations, values });
  }

  fail(target, round, text) {
    this.errors.push({ target, round, text });
  }
}

async function measure(run, load) {
  const record = new Record(load);
  try {
    if (load.special) await special(run, load, record);
    else if (load.variants) await variants(run, load, record);
    else await rates(run, load, await run.plainTargets(), record);
  } catch (error) {
    record.fail('-', 0, error.message);
    if (process.env.BENCH_DEBUG) console.error(error);
  }

  if (record.rows.length === 0 && record.errors.length === 0) record.fail('-', 0, 'nothing was measured');
  return record;
}

async function variants(run, load, record) {
  if (!run.short) await run.stopPlainTargets();
  const kinds = run.kinds.filter((kind) => load.kinds.includes(kind));
  const all = [];
  for (const hosts of load.variants) {
    for (const target of await startTargets(run.world, kinds, { ...run.setup, hosts })) {
      const named = (name, count) => `${name}, ${count.toLocaleString('en')}`;
      all.push({ ...target, hosts, name: named(target.name, hosts), reference: named('haproxy', hosts), base: named(target.name, load.variants[0]) });
    }
  }

  await rates(run, load, all, record);
  await Promise.all(all.map((target) => run.world.stop(target.process)));
}

async function rates(run, load, targets, record) {
  const able = targets.filter((target) => target.ports[load.port] !== undefined);
  const shared = {};
  const turn = async (target, round, seconds) => {
    if (target.process.ended !== null) return;
    const reference = able.find((other) => other.name === (target.reference ?? 'haproxy')) ?? target;
    const before = cpu(target.process.pid);
    try {
      const once = (duration) => load.run({
        world: run.world, short: run.short, target, reference, shared, seconds: duration, port: target.ports[load.port],
        connections: run.short ? Math.min(load.connections, 8) : load.connections,
      });
      let got = await once(seconds);
      // On a machine with too much to do a client may not even get to its first request in a second.
      if (run.short && got.requests === 0 && got.errors === 0) got = await once(8);
      const spent = cpu(target.process.pid) - before;
      if (target.process.ended !== null) throw new Error(`${target.name} ended: ${target.process.ended}`);
      if (got.errors > 0 || got.requests === 0) record.fail(target.name, round, `${got.errors} errors in ${got.requests} requests${got.detail ? ` (${got.detail})` : ''}`);
      if (round === 0 || got.requests === 0) return;
      const { rssAnon, pss } = memory(target.process.pid);
      record.add(target.name, round, {
        cpu: spent / got.requests, perSecond: got.requests / got.seconds, p50: got.p50, p99: got.p99, rssAnon: rssAnon / 1_024, pss: pss / 1_024,
        ...(got.resumed === undefined ? {} : { resumed: got.resumed }),
      }, { ...(target.reference && { reference: target.reference, base: target.base }) });
    } catch (error) {
      record.fail(target.name, round, error.message);
    }
  };

  if (run.short) {
    await Promise.all(able.map((target) => turn(target, 1, 1)));
    return;
  }

  for (const target of able) await turn(target, 0, run.warm);
  for (let round = 1; round <= run.roundCount; round++) {
    for (const target of ordered(able, round)) await turn(target, round, run.seconds);
    run.say(`${load.name}: round ${round} of ${run.roundCount}`);
  }
}

async function special(run, load, record) {
  if (!run.short) await run.stopPlainTargets();
  const kinds = load.kinds ? run.kinds.filter((kind) => load.kinds.includes(kind)) : run.kinds;
  const count = run.short ? 1 : Math.min(run.roundCount, load.roundsMax);
  let round = 0;
  await load.special({
    ...run,
    kinds,
    order: () => ordered(kinds, round),
    alive(target) {
      if (target.process.ended !== null) throw new Error(`${target.name} ended: ${target.process.ended}`);
    },
    async rounds(body) {
      for (round = 1; round <= count; round++) {
        await body((target, values) => record.add(target, round, values), round);
        run.say(`${load.name}: round ${round} of ${count}`);
      }
    },
  });
}

module.exports = { measure, metricsOf };
