'use strict';
// What a run owns: a folder, ports and processes. Everything ends with it, by process id, whatever way the run ends.

const { spawn, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { family } = require('./proc');

// A program whose starter was killed outright must not stay: the kernel ends it (setpriv runs it in its own place).
const DIES_WITH_US = which('setpriv') ? ['setpriv', '--pdeathsig', 'TERM', '--'] : [];

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function which(program) {
  return process.env.PATH.split(':').map((folder) => path.join(folder, program)).find((file) => fs.existsSync(file));
}

class World {
  constructor() {
    // Short: Gateway's socket lies in it, and the path of a unix socket has 90 bytes at most.
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gws-'));
    fs.chmodSync(this.folder, 0o755); // nginx's workers may be somebody else
    this.processes = [];
    this.started = 0;
    this.ports = new Set();
  }

  file(name, text) {
    const file = path.join(this.folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    if (text !== undefined) fs.writeFileSync(file, text);
    return file;
  }

  /** A port nobody has, of five digits (so Gateway derives no staging port from it) and below the ephemeral ones. */
  async port() {
    for (;;) {
      const port = 10_000 + Math.floor(Math.random() * 22_000);
      if (!this.ports.has(port) && await isFree(port)) {
        this.ports.add(port);
        return port;
      }
    }
  }

  /** Starts a program; its output goes to NAME.log in the folder. */
  start(name, command, args, options = {}) {
    const log = this.file(`${name}-${++this.started}.log`);
    const output = fs.openSync(log, 'a');
    const line = [...DIES_WITH_US, command, ...args];
    const child = spawn(line[0], line.slice(1), { stdio: [options.stdin ? 'pipe' : 'ignore', options.stdout ?? output, output], ...options });
    fs.closeSync(output);
    const process = { name, child, pid: child.pid, log, ended: null, leaving: false };
    process.exit = new Promise((resolve) => {
      const end = (how) => { process.ended ??= how; resolve(how); };
      child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
      child.on('error', (error) => end(error.message));
    });
    this.processes.push(process);
    return process;
  }

  async stop(process) {
    process.leaving = true;
    if (process.ended === null) {
      process.child.kill('SIGTERM');
      const timer = setTimeout(() => process.child.kill('SIGKILL'), 5_000);
      await process.exit;
      clearTimeout(timer);
    }

    this.processes = this.processes.filter((other) => other !== process);
  }

  async end() {
    await Promise.all([...this.processes].map((process) => this.stop(process)));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** At once, when nothing can be awaited any more. */
  kill() {
    // nginx's workers outlive a master that is killed.
    for (const pid of this.processes.filter((process) => process.ended === null).flatMap((process) => family(process.pid))) {
      try {
        globalThis.process.kill(pid, 'SIGKILL');
      } catch { /* gone meanwhile */ }
    }

    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}

/** Polls until the condition gives something; an error names what was awaited. */
async function until(what, seconds, condition, every = 20) {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(every);
  }
}

const tail = (file, lines = 8) => fs.readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');

const output = (command, args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

module.exports = { World, output, sleep, tail, until, which };
