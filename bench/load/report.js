'use strict';
// node report.js ROUNDS.tsv DIRECTORY: medians of what run.sh measured, as a dated pair of files (Markdown and JSON).
// A line of the input: kind, proxy, round (0: warm-up, kept out), CPU in µs, requests or bytes, errors, seconds or KiB grown.

const fs = require('node:fs');
const path = require('node:path');

const [input, directory] = process.argv.slice(2);
const rows = fs.readFileSync(input, 'utf8').trim().split('\n').map((line) => {
  const [kind, proxy, round, cpu, amount, errors, extra] = line.split('\t');
  return { kind, proxy, round: Number(round), cpu: Number(cpu), amount: Number(amount), errors: Number(errors), extra: Number(extra) };
}).filter((row) => row.round > 0);

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const range = (values, digits) => `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
const names = { http: 'HTTP/1.1 request, keep-alive, 24 B answer', tcp: 'TCP request/response over a kept relay, 24 B answer', bulk: 'TCP, one GiB' };

const results = [];
for (const kind of [...new Set(rows.map((row) => row.kind))]) {
  const perUnit = kind === 'bulk' ? (row) => row.cpu / 1e6 / (row.amount / 2 ** 30) : (row) => row.cpu / row.amount;
  const rounds = [];
  for (const number of [...new Set(rows.map((row) => row.round))]) {
    const find = (proxy) => rows.find((row) => row.kind === kind && row.proxy === proxy && row.round === number);
    const [ours, theirs] = [find('gateway'), find('haproxy')];
    rounds.push({
      round: number,
      gateway: perUnit(ours),
      haproxy: perUnit(theirs),
      ratio: perUnit(ours) / perUnit(theirs),
      errors: ours.errors + theirs.errors,
      perSecond: kind === 'bulk' ? undefined : { gateway: ours.amount / ours.extra, haproxy: theirs.amount / theirs.extra },
      grownKiB: kind === 'bulk' ? { gateway: ours.extra, haproxy: theirs.extra } : undefined,
    });
  }

  results.push({
    kind,
    unit: kind === 'bulk' ? 'CPU seconds per GiB' : 'µs of CPU per request',
    gateway: median(rounds.map((round) => round.gateway)),
    haproxy: median(rounds.map((round) => round.haproxy)),
    ratio: median(rounds.map((round) => round.ratio)),
    errors: rounds.reduce((sum, round) => sum + round.errors, 0),
    rounds,
  });
}

const env = process.env;
const now = new Date();
const about = {
  date: now.toISOString().slice(0, 16).replace('T', ' ') + ' UTC', commit: env.COMMIT, command: env.COMMAND, machine: env.MACHINE,
  versions: env.VERSIONS, engine: env.ENGINE, loadAverageAtTheEnd: env.LOADAVG,
};
const lines = [
  `# CPU per request: Gateway against HAProxy, ${about.date}`,
  '',
  `- Commit ${about.commit}; engine: ${about.engine}`,
  `- Machine: ${about.machine}; load average at the end ${about.loadAverageAtTheEnd}`,
  `- Versions: ${about.versions}`,
  `- Command: \`${about.command}\``,
  '',
  'Loopback, two nginx servers behind each balancer, equal features, alternated in every round. The ratio is the median of the',
  'ratios within each round; differences under 10 % are equal. The first, cold runs are kept out.',
  '',
  '| what | Gateway | HAProxy | ratio | ratio, lowest–highest | errors |',
  '|---|---|---|---|---|---|',
  ...results.map((result) => `| ${names[result.kind]} | ${result.gateway.toFixed(2)} ${result.kind === 'bulk' ? 's' : 'µs'} `
    + `| ${result.haproxy.toFixed(2)} ${result.kind === 'bulk' ? 's' : 'µs'} | **${result.ratio.toFixed(2)}** `
    + `| ${range(result.rounds.map((round) => round.ratio), 2)} | ${result.errors} |`),
  '',
  '| round | ' + results.map((result) => `${result.kind}: Gateway | HAProxy | ratio`).join(' | ') + ' |',
  '|---|' + results.map(() => '---|---|---|').join(''),
  ...results[0].rounds.map((_, i) => `| ${results[0].rounds[i].round} | ` + results.map((result) => {
    const round = result.rounds[i];
    return `${round.gateway.toFixed(2)} | ${round.haproxy.toFixed(2)} | ${round.ratio.toFixed(2)}`;
  }).join(' | ') + ' |'),
];
const bulk = results.find((result) => result.kind === 'bulk');
if (bulk) {
  lines.push('', `Anonymous memory grown over one GiB, highest round: Gateway ${Math.max(...bulk.rounds.map((r) => r.grownKiB.gateway))} KiB, `
    + `HAProxy ${Math.max(...bulk.rounds.map((r) => r.grownKiB.haproxy))} KiB.`);
}

const base = path.join(directory, `${now.toISOString().slice(0, 16).replace(':', '').replace('T', '-')}-haproxy`);
fs.mkdirSync(directory, { recursive: true });
fs.writeFileSync(`${base}.md`, lines.join('\n') + '\n');
fs.writeFileSync(`${base}.json`, JSON.stringify({ ...about, results }, null, 2) + '\n');
console.log(lines.join('\n'));
console.log(`\nwritten: ${base}.md, ${base}.json`);
