# Two stages: the SDK builds, the ASP.NET runtime runs. Build from the root of the repository:
#   docker build -t gateway .
#   docker run --network host -v gateway-state:/var/lib/gateway gateway
# --network host, because a gateway's whole point is to answer on this host's ports.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /source

# Restore first, so that a change of code does not fetch packages again.
COPY global.json Directory.Build.props Directory.Build.targets Directory.Packages.props .editorconfig ./
COPY src/Gateway/Gateway.csproj src/Gateway/BannedSymbols.txt src/Gateway/
COPY src/Gateway.Cli/Gateway.Cli.csproj src/Gateway.Cli/
RUN dotnet restore src/Gateway.Cli/Gateway.Cli.csproj -p:_IsPublishing=true

COPY src/ src/
RUN dotnet publish src/Gateway.Cli/Gateway.Cli.csproj -c Release -o /app --no-restore

FROM mcr.microsoft.com/dotnet/aspnet:10.0
COPY --from=build /app /usr/local/lib/gateway
COPY config/gateway.yaml /etc/gateway/gateway.yaml

# The image's own unprivileged user. Ports below 1024 need --cap-add NET_BIND_SERVICE and --sysctl or file capabilities.
RUN ln -s /usr/local/lib/gateway/gateway /usr/local/bin/gateway \
    && install -d -o "$APP_UID" -g "$APP_UID" /var/lib/gateway
USER $APP_UID
VOLUME /var/lib/gateway

# Only SIGTERM drains; give it longer than drain.timeout (75s): docker run --stop-timeout 80.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/gateway"]
CMD ["run"]
