'use strict';
// node handshakes.js PORT CONNECTIONS SECONDS full|resumed: TLS 1.3 handshake, one request with Connection: close, end; again.
// `resumed` offers the newest ticket that the target gave. Prints {requests, seconds, errors, p50, p99, resumed} (microseconds;
// resumed: the share of handshakes that were).

const tls = require('node:tls');
const { createHistogram } = require('node:perf_hooks');

const [port, connections, seconds] = process.argv.slice(2, 5).map(Number);
const resume = process.argv[5] === 'resumed';
const latency = createHistogram();
let requests = 0;
let errors = 0;
let resumed = 0;
let over = false;

const context = tls.createSecureContext({ minVersion: 'TLSv1.3' });

function once(session) {
  return new Promise((resolve) => {
    const start = process.hrtime.bigint();
    let ticket = session;
    let head = '';
    let reused = false;
    const socket = tls.connect({
      port, host: '127.0.0.1', servername: 'bench.example', secureContext: context, rejectUnauthorized: false, session,
      ALPNProtocols: ['http/1.1'], noDelay: true,
    }, () => {
      reused = socket.isSessionReused();
      socket.write('GET /small HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n');
    });
    if (resume) socket.on('session', (given) => { ticket = given; });
    socket.on('data', (chunk) => { head ||= chunk.toString('latin1'); });
    socket.on('error', () => { head = ''; });
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on('close', () => {
      if (!over) {
        if (head.startsWith('HTTP/1.1 200')) {
          requests++;
          resumed += reused ? 1 : 0;
          latency.record(process.hrtime.bigint() - start);
        } else {
          errors++;
        }
      }

      resolve(ticket);
    });
  });
}

async function worker() {
  let session;
  while (!over) {
    const given = await once(session);
    if (resume) session = given;
    if (errors > 1_000) return;
  }
}

const started = process.hrtime.bigint();
setTimeout(() => {
  over = true;
  console.log(JSON.stringify({
    requests, errors, seconds: Number(process.hrtime.bigint() - started) / 1e9, resumed: requests ? resumed / requests : 0,
    p50: requests ? latency.percentile(50) / 1e3 : 0, p99: requests ? latency.percentile(99) / 1e3 : 0,
  }));
}, seconds * 1_000);
for (let i = 0; i < connections; i++) worker();
