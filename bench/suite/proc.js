'use strict';
// What the kernel says about a process and its children (nginx has workers).

const fs = require('node:fs');
const { execFileSync } = require('node:child_process');

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

const read = (file) => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // gone meanwhile
  }
};

/** The process and all below it. */
function family(pid) {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim();
  return [pid, ...(children ? children.split(' ').map(Number).flatMap(family) : [])];
}

/** utime + stime so far, in microseconds. */
function cpu(pid) {
  return family(pid).reduce((sum, member) => {
    const fields = read(`/proc/${member}/stat`).replace(/^.*\) /, '').split(' ');
    return sum + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * (1e6 / TICKS_PER_SECOND);
  }, 0);
}

function sum(pid, file, field) {
  return family(pid).reduce((total, member) => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(`/proc/${member}/${file}`));
    return total + Number(found?.[1] ?? 0);
  }, 0);
}

/** In KiB: anonymous memory; proportional share of everything; proportional share of files. */
const memory = (pid) => ({
  rssAnon: sum(pid, 'status', 'RssAnon'),
  pss: sum(pid, 'smaps_rollup', 'Pss'),
  pssFile: sum(pid, 'smaps_rollup', 'Pss_File'),
});

module.exports = { cpu, family, memory };
