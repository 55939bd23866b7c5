'use strict';
// The programs that drive a target for one turn. Each returns {requests, seconds, errors, p50, p99 (microseconds), detail}.

const fs = require('node:fs');
const path = require('node:path');
const { percentile } = require('../statistics');

const client = (name) => path.join(__dirname, '../clients', name);

/** Runs a program to its end, at most SECONDS + 30; what it printed. */
async function finish(world, name, command, args, seconds) {
  const out = world.file(`${name}-${Math.random().toString(36).slice(2)}.out`);
  const handle = fs.openSync(out, 'w');
  const process = world.start(name, command, args.map(String), { stdout: handle });
  fs.closeSync(handle);
  const timer = setTimeout(() => process.child.kill('SIGKILL'), (seconds + 30) * 1_000);
  const how = await process.exit;
  clearTimeout(timer);
  const text = fs.readFileSync(out, 'utf8');
  const log = fs.readFileSync(process.log, 'utf8');
  await world.stop(process);
  fs.rmSync(out);
  fs.rmSync(process.log);
  if (how !== 'exit code 0') throw new Error(`${name} ended with ${how}: ${(log || text).trim().slice(-400)}`);
  return text;
}

async function wrk({ world, seconds, port, connections }, kind, url, { tls = false, hosts } = {}) {
  const text = await finish(world, 'wrk', 'wrk', [
    '-t', 1, '-c', connections, '-d', `${seconds}s`, '--timeout', '20s', '-s', client('wrk.lua'),
    `${tls ? 'https' : 'http'}://127.0.0.1:${port}${url}`, '--', kind, ...(hosts ? [hosts] : []),
  ], seconds);
  return JSON.parse(/^JSON (.*)$/m.exec(text)[1]);
}

async function h2load({ world, seconds, port, connections }, { tls = false, streams = 1, http1 = false, perSecond } = {}) {
  const log = world.file(`h2load-${Math.random().toString(36).slice(2)}.log`);
  const text = await finish(world, 'h2load', 'h2load', [
    '-c', connections, '-t', 1, '-D', seconds, '-m', streams, '--log-file', log, '-H', ':authority: bench.example', ...(http1 ? ['--h1'] : []),
    ...(perSecond ? ['--rps', Math.max(1, Math.round(perSecond / connections))] : []), `${tls ? 'https' : 'http'}://127.0.0.1:${port}/small`,
  ], seconds);
  // A line of the log: start, status, microseconds.
  const lines = fs.readFileSync(log, 'utf8').trimEnd().split('\n').filter((line) => line !== '');
  fs.rmSync(log);
  const good = lines.map((line) => line.split('\t').map(Number)).filter((fields) => fields[1] >= 200 && fields[1] < 300);
  const times = good.map((fields) => fields[2]);
  const [, failed, errored, timeout] = /(\d+) failed, (\d+) errored, (\d+) timeout/.exec(text).map(Number);
  return {
    requests: good.length, seconds, errors: failed + errored + timeout + lines.length - good.length,
    p50: times.length ? percentile(times, 0.5) : 0, p99: times.length ? percentile(times, 0.99) : 0,
    detail: /^requests: .*$/m.exec(text)[0],
  };
}

async function own({ world, seconds, port, connections }, program, ...more) {
  return JSON.parse(await finish(world, program, process.execPath, [client(`${program}.js`), port, connections, seconds, ...more], seconds));
}

/** Reads a part of one GiB, in one piece; a MiB is a request. */
async function stream({ world, port, short }, url) {
  const mebibytes = short ? 32 : 1_024;
  const began = performance.now();
  const text = await finish(world, 'curl', 'curl', [
    '-sS', '-o', '/dev/null', '-r', `0-${mebibytes * 2 ** 20 - 1}`, '-w', '%{http_code} %{size_download}', `http://127.0.0.1:${port}${url}`,
  ], 60);
  const [status, bytes] = text.split(' ').map(Number);
  const seconds = (performance.now() - began) / 1_000;
  return { requests: bytes / 2 ** 20, seconds, errors: status === 206 && bytes === mebibytes * 2 ** 20 ? 0 : 1, p50: 0, p99: 0, detail: text };
}

module.exports = { client, h2load, own, stream, wrk };
