'use strict';
// Loads whose figure is CPU per unit of work.

const { h2load, own, stream, wrk } = require('./clients');

const REQUEST = 'µs of CPU per request';
const MEBIBYTE = 'µs of CPU per MiB';

/** A load by wrk. */
const http = (name, title, connections, kind, url, more = {}) => ({
  name, title, connections, unit: REQUEST, port: 'http', run: (turn) => wrk(turn, kind, url, more.wrk), ...more,
});

module.exports = [
  http('http1-c1', 'HTTP/1.1, 24 B, 1 connection', 1, 'get', '/small'),
  http('http1-c8', 'HTTP/1.1, 24 B, 8 connections', 8, 'get', '/small'),
  http('http1-c64', 'HTTP/1.1, 24 B, 64 connections', 64, 'get', '/small'),
  http('http1-c512', 'HTTP/1.1, 24 B, 512 connections', 512, 'get', '/small'),
  http('http1-10k', 'HTTP/1.1, 10 KiB, 64 connections', 64, 'get', '/10k'),
  http('http1-1m', 'HTTP/1.1, 1 MiB, 4 connections', 4, 'get', '/1m', { unit: MEBIBYTE }),
  {
    name: 'half', title: 'HTTP/1.1, 24 B, 64 connections at half of what HAProxy reaches', connections: 64, unit: REQUEST, port: 'http',
    also: [['p99', 'The same: p99', 'µs']],
    // The rate is HAProxy's own through the same client, found once and then the same for every target.
    async run(turn) {
      turn.shared.saturation ??= (async () => {
        const found = await h2load({ ...turn, port: turn.reference.ports.http }, { http1: true });
        return found.requests / found.seconds;
      })();
      return h2load(turn, { http1: true, perSecond: (await turn.shared.saturation) / 2 });
    },
  },
  http('post-1k', 'POST of 1 KiB, 64 connections', 64, 'post-1k', '/sink'),
  http('post-1m', 'POST of 1 MiB, 4 connections', 4, 'post-1m', '/sink', { unit: MEBIBYTE }),
  http('chunked-up', 'POST of 16 KiB in 4 chunks, 64 connections', 64, 'chunked-up', '/sink'),
  http('chunked-down', '64 KiB in chunks of 8 KiB, 16 connections', 16, 'get', '/chunked'),
  http('newconn', 'HTTP/1.1, a new connection per request, 64 at a time', 64, 'close', '/small'),
  {
    name: 'h2-clear', title: 'HTTP/2 by prior knowledge, 8 connections of 8 streams', connections: 8, unit: REQUEST, port: 'h2c',
    run: (turn) => h2load(turn, { streams: 8 }),
  },
  {
    name: 'h2-tls', title: 'HTTP/2 over TLS 1.3, 8 connections of 8 streams', connections: 8, unit: REQUEST, port: 'https',
    run: (turn) => h2load(turn, { streams: 8, tls: true }),
  },
  {
    name: 'ws', title: 'WebSocket, a 24 B message and its echo, 64 connections', connections: 64, unit: 'µs of CPU per message and echo', port: 'ws',
    run: (turn) => own(turn, 'ws'),
  },
  http('tls-keepalive', 'TLS 1.3, 24 B, keep-alive, 32 connections', 32, 'get', '/small', { port: 'https', wrk: { tls: true } }),
  http('tls-bulk', 'TLS 1.3, 1 MiB, 4 connections', 4, 'get', '/1m', { port: 'https', wrk: { tls: true }, unit: MEBIBYTE }),
  {
    name: 'tls-full', title: 'TLS 1.3 full handshake, request, close, 16 at a time', connections: 16, unit: 'µs of CPU per handshake and request',
    port: 'https', run: (turn) => own(turn, 'handshakes', 'full'),
  },
  {
    name: 'tls-resumed', title: 'TLS 1.3 resumed handshake, request, close, 16 at a time', connections: 16,
    unit: 'µs of CPU per handshake and request', port: 'https', run: (turn) => own(turn, 'handshakes', 'resumed'),
  },
  http('tcp-small', 'TCP, 24 B request/response, 64 connections', 64, 'get', '/small', { port: 'tcp' }),
  http('tcp-bulk', 'TCP, 1 MiB, 4 connections', 4, 'get', '/1m', { port: 'tcp', unit: MEBIBYTE }),
  { name: 'tcp-gib', title: 'TCP, one GiB in one piece', connections: 1, unit: MEBIBYTE, port: 'tcp', run: (turn) => stream(turn, '/gib') },
  // The same target twice, so that what more names cost shows within a round.
  http('hosts', 'Edge by host name, 64 connections', 64, 'hosts', '/small', {
    port: 'edge', variants: [10, 10_000], kinds: ['haproxy', 'gateway'],
    run: (turn) => wrk(turn, 'hosts', '/small', { hosts: turn.target.hosts }),
  }),
];
