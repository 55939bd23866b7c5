'use strict';
// What an idle connection holds: anonymous memory after one request on each of 8,000, less what it was before, over 8,000. Fresh
// processes each round, warmed by a load and by connections that came and went. The kernel's socket buffers are in nobody's figure.

const fs = require('node:fs');
const { sleep, until } = require('../world');
const { memory } = require('../proc');
const { client, wrk } = require('./clients');
const { startTargets } = require('../targets');

const idle = (kind) => ({
  name: `idle-${kind}`,
  title: `An idle ${kind === 'tls' ? 'TLS 1.3' : 'plain'} connection after one request`,
  metrics: [['kib', 'KiB per connection', 2], ['rssAnon', 'RssAnon, MiB', 1], ['connections', 'connections', 0]],
  roundsMax: 3,

  async special(run) {
    const connections = run.short ? 100 : 8_000;
    const one = async (record, target) => {
      const port = target.ports[kind === 'tls' ? 'https' : 'http'];
      await wrk({ world: run.world, seconds: run.short ? 1 : 3, port, connections: 64 }, 'get', '/small', { tls: kind === 'tls' });
      await hold(run, port, Math.min(connections, 500), kind, () => {});
      const before = await settled(target.process.pid, run.short);
      await hold(run, port, connections, kind, async () => {
        const after = await settled(target.process.pid, run.short);
        record(target.name, { kib: (after - before) / connections, rssAnon: after / 1_024, connections });
      });
      run.alive(target);
    };
    await run.rounds(async (record) => {
      if (run.short) {
        await Promise.all((await run.plainTargets()).map((target) => one(record, target)));
        return;
      }

      for (const name of run.order()) {
        const targets = await startTargets(run.world, [name], run.setup);
        for (const target of targets) await one(record, target);
        await Promise.all(targets.map((target) => run.world.stop(target.process)));
      }
    });
  },
});

/** Opens connections, does something, closes them. */
async function hold(run, port, connections, kind, meanwhile) {
  const out = run.world.file(`idle-${port}-${connections}.out`, '');
  const handle = fs.openSync(out, 'w');
  const holder = run.world.start('idle', process.execPath, [client('idle.js'), port, connections, kind].map(String), { stdin: true, stdout: handle });
  fs.closeSync(handle);
  const text = await until(`${connections} connections are open`, 120, () => {
    if (holder.ended !== null) throw new Error(`idle.js ended: ${holder.ended}\n${fs.readFileSync(holder.log, 'utf8').slice(-400)}`);
    const printed = fs.readFileSync(out, 'utf8');
    return printed.endsWith('\n') && printed;
  }, 50);
  const { open, errors } = JSON.parse(text);
  if (errors > 0 || open !== connections) throw new Error(`${open} of ${connections} connections, ${errors} errors`);
  await meanwhile();
  holder.child.stdin.end();
  await holder.exit;
  await run.world.stop(holder);
}

/** RssAnon in KiB once two readings a second apart differ by less than 1 %; after 10 s as it is. */
async function settled(pid, short) {
  let last = memory(pid).rssAnon;
  for (let i = 0; i < (short ? 1 : 10); i++) {
    await sleep(short ? 50 : 1_000);
    const now = memory(pid).rssAnon;
    const calm = Math.abs(now - last) < last / 100;
    last = now;
    if (calm) break;
  }

  return last;
}

module.exports = [idle('plain'), idle('tls')];
