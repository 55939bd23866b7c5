'use strict';
// What a figure means nothing without: when, which commit, which command, which machine and versions.

const fs = require('node:fs');
const os = require('node:os');
const { output } = require('./world');

const first = (command, args, pattern) => {
  try {
    return pattern.exec(output('sh', ['-c', `${[command, ...args].join(' ')} 2>&1 || true`]))?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
};

function about(root, options) {
  const git = (...args) => output('git', ['-C', root, ...args]).trim();
  let commit = 'unknown';
  try {
    commit = git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : ' with changes in src');
  } catch { /* not a checkout */ }
  const now = new Date().toISOString();
  return {
    date: `${now.slice(0, 16).replace('T', ' ')} UTC`,
    commit,
    command: ['bench/run.sh', ...process.argv.slice(2)].join(' '),
    rounds: options.rounds,
    seconds: options.seconds,
    warm: options.warm,
    accessLog: options['access-log'],
    machine: `${/^model name\s*: (.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? os.arch()}, ${os.cpus().length} CPUs, ${
      (os.totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${os.release()}`,
    versions: [
      `.NET SDK ${first('dotnet', ['--version'], /^(\S+)/)}`,
      'YARP 2.1.0',
      `HAProxy ${first('haproxy', ['-v'], /version (\S+)/)}`,
      `nginx ${first('nginx', ['-v'], /nginx\/(\S+)/)}`,
      `OpenSSL ${first('openssl', ['version'], /OpenSSL (\S+)/)}`,
      `wrk ${first('wrk', ['-v'], /wrk (\S+)/)}`,
      `h2load ${first('h2load', ['--version'], /nghttp2\/(\S+)/)}`,
      `node ${process.version}`,
    ].join(', '),
    loadAverageAtTheStart: os.loadavg().map((value) => value.toFixed(2)).join(' '),
  };
}

module.exports = { about };
