'use strict';
// node idle.js PORT CONNECTIONS plain|tls: opens them, one request each, prints {open, errors} and keeps them until its input ends.

const net = require('node:net');
const tls = require('node:tls');

const [port, connections] = process.argv.slice(2, 4).map(Number);
const secure = process.argv[4] === 'tls';
const AT_ONCE = 64;
const context = secure ? tls.createSecureContext({ minVersion: 'TLSv1.3' }) : null;
const kept = [];
let begun = 0;
let errors = 0;

function one() {
  return new Promise((resolve) => {
    const ask = () => socket.write('GET /small HTTP/1.1\r\nHost: bench.example\r\n\r\n');
    const socket = secure
      ? tls.connect({ port, host: '127.0.0.1', servername: 'bench.example', secureContext: context, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }, ask)
      : net.connect({ port, host: '127.0.0.1' }, ask);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.endsWith('x'.repeat(24))) return;
      if (!text.startsWith('HTTP/1.1 200')) errors++;
      kept.push(socket);
      resolve();
    });
    socket.on('error', () => {});
    socket.on('close', () => { errors++; resolve(); });
  });
}

async function worker() {
  while (begun < connections && errors === 0) {
    begun++;
    await one();
  }
}

Promise.all(Array.from({ length: AT_ONCE }, worker)).then(() => console.log(JSON.stringify({ open: kept.length, errors })));
process.stdin.on('end', () => process.exit(0)).resume();
