'use strict';
// node ws.js PORT CONNECTIONS SECONDS: on each connection one message after the other, each sent when the last has come back.
// Prints {requests, seconds, errors, p50, p99} (microseconds).

const crypto = require('node:crypto');
const net = require('node:net');
const { createHistogram } = require('node:perf_hooks');
const { ANSWER, REQUEST } = require('./ws-frames');

const [port, connections, seconds] = process.argv.slice(2).map(Number);
const latency = createHistogram();
const sockets = [];
let requests = 0;
let errors = 0;
let open = 0;
let started = 0n;
let over = false;

function connect() {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  let head = '';
  let got = 0;
  let sent = 0n;
  const send = () => { sent = process.hrtime.bigint(); socket.write(REQUEST); };
  socket.on('connect', () => socket.write('GET /ws HTTP/1.1\r\nHost: bench.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n\r\n`));
  socket.on('data', (chunk) => {
    if (over) return;
    if (head !== null) {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      if (!head.startsWith('HTTP/1.1 101')) { socket.destroy(new Error(head.split('\r\n')[0])); return; }
      head = null;
      socket.begin = send;
      open++;
      if (open === connections) begin();
      return;
    }

    got += chunk.length;
    if (got < ANSWER.length) return;
    if (got > ANSWER.length || chunk[chunk.length - 1] !== 0x78) { socket.destroy(new Error('not what was sent')); return; }
    got = 0;
    requests++;
    latency.record(process.hrtime.bigint() - sent || 1n);
    send();
  });
  socket.on('error', () => {});
  socket.on('close', () => { if (!over) { errors++; if (open < connections) finish(); } });
  sockets.push(socket);
}

function begin() {
  started = process.hrtime.bigint();
  for (const socket of sockets) socket.begin();
  setTimeout(finish, seconds * 1_000);
}

function finish() {
  if (over) return;
  over = true;
  console.log(JSON.stringify({
    requests, errors, seconds: started ? Number(process.hrtime.bigint() - started) / 1e9 : 0,
    p50: requests ? latency.percentile(50) / 1e3 : 0, p99: requests ? latency.percentile(99) / 1e3 : 0,
  }));
  for (const socket of sockets) socket.destroy();
}

setTimeout(() => { if (!started) { errors += connections - open; finish(); } }, 10_000).unref();
for (let i = 0; i < connections; i++) connect();
