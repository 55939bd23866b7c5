'use strict';
// All loads. A load is {name, title, unit, ...} with either
//   run(turn): drives one target for a turn and returns {requests, seconds, errors, p50, p99, ...}; it needs `port` of a target, or
//   special(run): its own procedure, which records {metric: value} for a target as often as it likes; `metrics` names them.
// `also` lists what the README shows beside the first metric.

const rates = require('./rates');
const idle = require('./idle');
const start = require('./start');
const live = require('./live');

const LOADS = [...rates, ...idle, ...start, ...live];

/** A name stands for every load that begins with it: `tls` is tls-keepalive, tls-bulk, ... */
function choose(names) {
  if (names.length === 0) return LOADS;
  const found = names.flatMap((name) => {
    const some = LOADS.filter((load) => load.name === name || load.name.startsWith(`${name}-`));
    if (some.length === 0) throw new RangeError(`no load '${name}'; there are ${LOADS.map((load) => load.name).join(', ')}`);
    return some;
  });
  return LOADS.filter((load) => found.includes(load));
}

module.exports = { LOADS, choose };
