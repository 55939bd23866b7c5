'use strict';

const sorted = (values) => [...values].sort((a, b) => a - b);

function median(values) {
  const all = sorted(values);
  const middle = all.length >> 1;
  return all.length % 2 ? all[middle] : (all[middle - 1] + all[middle]) / 2;
}

/** Nearest rank. */
function percentile(values, share) {
  const all = sorted(values);
  return all[Math.max(0, Math.ceil(all.length * share) - 1)];
}

/** What a report needs of a list of numbers. */
const summary = (values) => ({ median: median(values), min: Math.min(...values), max: Math.max(...values), values });

module.exports = { median, percentile, summary };
