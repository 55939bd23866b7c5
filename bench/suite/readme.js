'use strict';
// README.md's table of performance, between its two markers: for each load the newest stored result without errors that has it.

const fs = require('node:fs');
const path = require('node:path');
const { LOADS } = require('./loads');
const { spread } = require('./report');

const [BEGIN, END] = ['<!-- bench:begin (written by bench/run.sh --readme) -->', '<!-- bench:end -->'];
const COLUMNS = [['gateway-loops', 'Gateway, loops'], ['gateway-kestrel', 'Gateway, Kestrel'], ['nginx', 'nginx'], ['yarp', 'stock YARP']];

function newest(folder) {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('-suite.json')).sort().reverse();
  const found = new Map();
  for (const name of files) {
    const { results, ...about } = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
    if (about.accessLog) continue; // a column of its own kind; it is in its file
    for (const result of results) {
      if (!found.has(result.load) && result.errors.length === 0) found.set(result.load, { ...result, about, name: name.replace('.json', '.md') });
    }
  }

  return LOADS.map((load) => found.get(load.name)).filter(Boolean);
}

function table(results) {
  const columns = COLUMNS.filter(([name]) => results.some((result) => result.targets.some((target) => target.name.split(',')[0] === name)));
  const rows = [];
  const cost = (target, { columns: [{ key, digits, label }] }) =>
    `${target.metrics[key].median.toFixed(digits)} ${/^(µs|ms|MiB|KiB)/.exec(label)?.[1] ?? ''}`.trim();
  for (const result of results) {
    const variants = [...new Set(result.targets.map((target) => target.name.split(', ').slice(1).join(', ')))];
    for (const variant of variants) {
      const find = (name) => result.targets.find((target) => target.name === (variant ? `${name}, ${variant}` : name));
      const cells = columns.map(([name]) => {
        const target = find(name);
        if (!target) return '–';
        return target.ratio ? spread(target.ratio, 2, true) : cost(target, result);
      });
      const reference = find('haproxy');
      rows.push(`| ${result.title}${variant ? `, ${variant} names` : ''} | ${cells.join(' | ')} | ${reference ? cost(reference, result) : '–'} |`);
    }
  }

  const plain = (result, name, key, unit) => {
    const metric = result.targets.find((target) => target.name === name)?.metrics[key];
    return metric ? `${metric.median.toFixed(0)} ${unit}` : '–';
  };
  for (const result of results) {
    for (const [key, title, unit] of LOADS.find((load) => load.name === result.load).also ?? []) {
      const at = rows.findIndex((row) => row.startsWith(`| ${result.title} |`));
      rows.splice(at + 1, 0, `| ${title} | ${columns.map(([name]) => plain(result, name, key, unit)).join(' | ')} | ${plain(result, 'haproxy', key, unit)} |`);
    }
  }

  const sources = [...new Map(results.map((result) => [result.name, result.about]))];
  return [
    'Cost against HAProxy\'s in the same rounds (1 = equal, less is better), median [lowest–highest]; CPU of the balancer\'s own process',
    'per request or as named, memory, or milliseconds. A plain number with a unit has no counterpart at HAProxy.',
    '',
    `| load | ${columns.map(([, label]) => label).join(' | ')} | HAProxy itself |`,
    `|---|${columns.map(() => '---|').join('')}---|`,
    ...rows,
    '',
    ...sources.map(([name, about]) => `Measured ${about.date} at commit ${about.commit} on ${about.machine}: [\`${name}\`](bench/results/${name}).`),
  ].join('\n');
}

function writeReadme(root, folder) {
  const file = path.join(root, 'README.md');
  const readme = fs.readFileSync(file, 'utf8');
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`README.md lacks its markers: ${BEGIN} and ${END}`);
  const results = newest(folder);
  if (results.length === 0) throw new Error(`no result in ${folder}`);
  fs.writeFileSync(file, `${readme.slice(0, from + BEGIN.length)}\n${table(results)}\n${readme.slice(to)}`);
}

module.exports = { writeReadme };
