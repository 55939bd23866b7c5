using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Gateway.Configuration;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Gateway.Observability;

namespace Gateway.Cli;

/// <summary><c>gateway dev</c>: everything in one command on a fresh machine, with something to try.</summary>
internal static class DevCommand
{
    /// <summary>Creates the command; <paramref name="signals"/> are there when it runs.</summary>
    public static Command Create(Func<Signals> signals)
    {
        Option<string?> state = SharedOptions.State("$XDG_STATE_HOME/gateway-dev");
        Command command = new("dev", "Run with the embedded catalog and demo services, and print lines to paste") { state };
        command.SetAction((parsed, cancel) => RunAsync(parsed.GetValue(state) ?? StateDirectory(), signals()));
        return command;
    }

    /// <summary><c>$XDG_STATE_HOME/gateway-dev</c>.</summary>
    public static string StateDirectory()
    {
        string? home = Environment.GetEnvironmentVariable("XDG_STATE_HOME");
        home = string.IsNullOrEmpty(home)
            ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state")
            : home;
        return Path.Combine(home, "gateway-dev");
    }

    private static async Task<int> RunAsync(string state, Signals signals)
    {
        List<string> moved = [];
        int Choose(string what, int wanted, Func<int, int[]> also)
        {
            int port = wanted;
            while (!Array.TrueForAll(also(port), IsFree))
            {
                port++;
            }

            if (port != wanted)
            {
                moved.Add($"  port {wanted} is busy, so {what} is on {port}");
            }

            return port;
        }

        ConfigurationResult loaded = GatewayConfiguration.LoadDev(
            GatewayConfiguration.ProcessEnvironment(), [new ConfigurationOverride("stateDirectory", Path.GetFullPath(state), "--state")]);
        if (loaded.Options is null)
        {
            await Console.Error.WriteLineAsync(string.Join('\n', loaded.Diagnostics));
            return ExitCode.BadInput;
        }

        int web = Choose("the web demo", 3000, p => [p, 10_000 + p]);
        int echo = Choose("the TCP echo", 7000, p => [p, 10_000 + p]);

        // What a GATEWAY__* variable says is meant; only what nobody named is ours to choose.
        bool Named(string key) => loaded.Values.Any(v => v.Key == key && v.Source != "default");
        IPEndPoint catalog = Named("catalog.embedded.listen") && loaded.Options.Embedded is { } embedded
            ? embedded.Listen
            : new IPEndPoint(IPAddress.Loopback, Choose("the embedded catalog", 8500, p => [p]));
        IPEndPoint admin = Named("admin.listen")
            ? loaded.Options.Admin.Listen
            : new IPEndPoint(IPAddress.Loopback, Choose("the admin address", 9900, p => [p]));
        DrainOptions drain = loaded.Options.Drain;
        GatewayOptions options = loaded.Options with
        {
            Embedded = new EmbeddedCatalogOptions { Listen = catalog },
            Admin = loaded.Options.Admin with { Listen = admin },
            Drain = new DrainOptions
            {
                Grace = Named("drain.grace") ? drain.Grace : TimeSpan.Zero,
                Idle = Named("drain.idle") ? drain.Idle : TimeSpan.FromSeconds(0.5),
                Timeout = Named("drain.timeout") ? drain.Timeout : TimeSpan.FromSeconds(2),
            },
            Log = new LogOptions { AccessFile = null },
        };

        await using DemoServices demo = await DemoServices.StartAsync();
        return await RunCommand.RunAsync(options, reload: null, json: false, signals, async host =>
        {
            foreach (string registration in demo.Registrations(web, echo))
            {
                await host.RegisterAsync(registration);
            }

            await host.ServingAsync([web, 10_000 + web, echo]);
            await Console.Out.WriteLineAsync(Banner(web, echo, catalog.Port, admin.Port, moved));
        });
    }

    private static string Banner(int web, int echo, int catalog, int admin, List<string> moved)
    {
        string P(int port) => port.ToString(CultureInfo.InvariantCulture);
        return string.Join('\n', (string[])
        [
            "",
            "Gateway is running with its embedded catalog. Paste a line:",
            "",
            $"  curl -s http://localhost:{P(web)}/hello          # production: two instances in turn",
            $"  curl -s http://localhost:{P(10_000 + web)}/hello         # its staging twin",
            $"  printf 'hello\\n' | nc -w 1 localhost {P(echo)}   # raw TCP echo",
            $"  curl -s http://localhost:{P(catalog)}/v1/catalog/services   # the catalog, as Consul's API",
            $"  curl -s http://localhost:{P(admin)}/api/v1/services    # what Gateway made of it",
            "",
            .. moved,
            "Ctrl-C stops it.",
        ]);
    }

    private static bool IsFree(int port)
    {
        foreach (IPAddress address in (IPAddress[])[IPAddress.Loopback, IPAddress.IPv6Loopback])
        {
            try
            {
                using Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(new IPEndPoint(address, port));
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressNotAvailable or SocketError.AddressFamilyNotSupported)
            {
                // No IPv6 here: nothing can be busy there.
            }
            catch (SocketException)
            {
                return false;
            }
        }

        return port < 65536;
    }
}
