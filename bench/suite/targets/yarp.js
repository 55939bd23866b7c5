'use strict';

const path = require('node:path');

async function startYarp(world, { backends, certificate, accessLog, programs }) {
  const ports = {};
  for (const name of ['http', 'h2c', 'https']) ports[name] = await world.port();
  const command = [path.join(programs.yarp, 'stock-yarp'), [
    '--http', ports.http, '--h2c', ports.h2c, '--https', ports.https, '--certificate', certificate.chain, '--key', certificate.key,
    '--backends', backends.http.join(','), '--ws', backends.ws.join(','), ...(accessLog ? ['--access-log', world.file('yarp-log')] : []),
  ].map(String)];
  ports.ws = ports.http; // by its path
  return [{ name: 'yarp', process: world.start('yarp', ...command), ports, command }];
}

module.exports = { startYarp };
