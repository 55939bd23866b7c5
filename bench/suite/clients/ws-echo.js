'use strict';
// node ws-echo.js PORT…: a WebSocket server that sends every message back. Only what the load needs: unfragmented messages
// of one known size whose mask is zero (ws.js sends no others), so that echoing costs little and the target is what is measured.

const crypto = require('node:crypto');
const http = require('node:http');
const { ANSWER, REQUEST } = require('./ws-frames');

function serve(socket, head) {
  socket.setNoDelay(true);
  let pending = 0; // bytes of an unfinished message
  const take = (bytes) => {
    pending += bytes;
    const messages = Math.floor(pending / REQUEST.length);
    pending %= REQUEST.length;
    if (messages === 1) socket.write(ANSWER);
    else if (messages > 1) socket.write(Buffer.alloc(messages * ANSWER.length, ANSWER));
  };
  socket.on('data', (chunk) => take(chunk.length));
  socket.on('error', () => socket.destroy());
  take(head.length);
}

for (const port of process.argv.slice(2)) {
  const server = http.createServer((request, response) => response.end('OK'));
  server.keepAliveTimeout = 600_000;
  server.on('upgrade', (request, socket, head) => {
    const accept = crypto.createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    serve(socket, head);
  });
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 });
}
