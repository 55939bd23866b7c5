'use strict';
// Rows of rounds in, medians and spreads out; as JSON (everything) and as Markdown (for people).

const fs = require('node:fs');
const path = require('node:path');
const { summary } = require('./statistics');
const { metricsOf } = require('./rounds');

const ORDER = ['haproxy', 'gateway-loops', 'gateway-kestrel', 'nginx', 'yarp'];
// Names of a variant (`haproxy, 10,000`) stand together, in the order of the variants.
const rank = (name, load) => ORDER.indexOf(name.split(',')[0])
  + ORDER.length * (load.variants ?? []).findIndex((variant) => name.endsWith(`, ${variant.toLocaleString('en')}`));

/** {load, title, unit, targets: [{name, metrics: {key: {median, min, max, values}}, ratio, growth}], errors} */
function summarize(record) {
  const { load, rows, errors } = record;
  const metrics = metricsOf(load);
  const primary = metrics[0][0];
  const names = [...new Set(rows.map((row) => row.target))].sort((a, b) => rank(a, load) - rank(b, load));
  const once = (target, round) => {
    const found = rows.filter((row) => row.target === target && row.round === round);
    return found.length === 1 ? found[0].values[primary] : undefined;
  };
  // Within each round, this target's cost to that of another.
  const against = (own, other) => {
    const pairs = own.map((row) => [once(row.target, row.round), once(other, row.round)]).filter((pair) => pair.every((value) => value > 0));
    return pairs.length > 0 ? summary(pairs.map(([mine, theirs]) => mine / theirs)) : undefined;
  };

  const targets = names.map((name) => {
    const own = rows.filter((row) => row.target === name);
    const { reference, base } = own[0];
    const keys = [...new Set(own.flatMap((row) => Object.keys(row.values)))];
    return {
      name,
      metrics: Object.fromEntries(keys.map((key) => [key, summary(own.map((row) => row.values[key]))])),
      ratio: name === reference ? undefined : against(own, reference),
      growth: base && base !== name ? against(own, base) : undefined,
    };
  });
  return {
    load: load.name, title: load.title, unit: metrics[0][1], columns: metrics.map(([key, label, digits]) => ({ key, label, digits })), targets, errors,
  };
}

const spread = ({ median, min, max }, digits, bold = false) =>
  `${bold ? '**' : ''}${median.toFixed(digits)}${bold ? '**' : ''}${min === max ? '' : ` [${min.toFixed(digits)}–${max.toFixed(digits)}]`}`;

/** The Markdown of a result. */
function text(about, results) {
  const lines = [
    `# Gateway beside HAProxy, nginx and stock YARP, ${about.date}`,
    '',
    `- Commit ${about.commit}; access logs ${about.accessLog ? 'on' : 'off'} for all`,
    `- Machine: ${about.machine}; load average ${about.loadAverageAtTheStart} at the start, ${about.loadAverageAtTheEnd} at the end`,
    `- Versions: ${about.versions}`,
    `- TLS: ${Object.entries(about.targets ?? {}).filter(([, tls]) => tls).map(([name, tls]) => `${name} ${tls}`).join(', ') || 'not used'}`,
    `- Command: \`${about.command}\` (${about.rounds} rounds of ${about.seconds} s, warm-up ${about.warm} s)`,
    '',
    'Loopback; equal features in front of the same servers; targets take turns within a round, in changing order. Figures are',
    'medians over the rounds with [lowest–highest]; the ratio is the median of the ratios to HAProxy within each round. Differences under',
    '10 % are equal. p99 of a saturating load says little; `half` is the load to compare it by.',
  ];
  for (const result of results) {
    lines.push('', `## ${result.load}: ${result.title}`, '');
    if (result.targets.length > 0) {
      const has = (key) => result.targets.some((target) => target[key]);
      const columns = result.columns.concat(result.targets.some((target) => target.metrics.resumed) ? [{ key: 'resumed', label: 'share resumed', digits: 2 }] : []);
      const heads = ['target', ...(has('ratio') ? ['ratio to HAProxy'] : []), ...(has('growth') ? ['ratio to fewest names'] : []), ...columns.map((column) => column.label)];
      lines.push(`| ${heads.join(' | ')} |`, `|${'---|'.repeat(heads.length)}`);
      for (const target of result.targets) {
        const relation = (key) => (has(key) ? [target[key] ? spread(target[key], 2, key === 'ratio') : '–'] : []);
        const cells = [target.name, ...relation('ratio'), ...relation('growth'),
          ...columns.map(({ key, digits }) => (target.metrics[key] ? spread(target.metrics[key], digits) : '–'))];
        lines.push(`| ${cells.join(' | ')} |`);
      }
    }

    for (const { target, round, text: what } of result.errors) lines.push('', `ERROR: ${target}, ${round === 0 ? 'warm-up' : `round ${round}`}: ${what}`);
  }

  return `${lines.join('\n')}\n`;
}

/** Writes DATE-suite.json and .md; the same names again for a result that has grown. */
function write(about, results, folder) {
  const base = path.join(folder, `${about.date.slice(0, 16).replace(':', '').replace(' ', '-')}-suite`);
  fs.writeFileSync(`${base}.md`, text(about, results));
  fs.writeFileSync(`${base}.json`, `${JSON.stringify({ ...about, results })}\n`);
}

module.exports = { spread, summarize, text, write };
