using static Gateway.Configuration.ScalarTypes;

namespace Gateway.Configuration;

/// <summary>Every key of the configuration file (SPEC section 2), in the order of config/gateway.yaml.</summary>
internal static class Schema
{

    /// <summary>The whole file.</summary>
    public static readonly SectionNode Root = new(
        "",
        "",
        new SectionNode(
            "catalog",
            "where services come from; several sources may be named, none named: the embedded one",
            new SectionNode(
                "consul",
                "a Consul agent or server",
                new ScalarNode("address", "base address", ConsulAddress, "http://127.0.0.1:8500"),
                new ScalarNode("tokenFile", "file with the ACL token, read again when it changes", FilePath, null),
                new ScalarNode("datacenter", "datacenter to ask; null: the agent's own", Datacenter, null),
                new ScalarNode("stale", "any server may answer, not only the leader", OnOff, "true"),
                new ScalarNode("wait", "longest wait of a blocking query", Span("1s", "10m"), "55s"),
                new SectionNode(
                    "tls",
                    "TLS to Consul, used with an https:// address",
                    new ScalarNode("ca", "PEM file of the authorities; null: the system's", FilePath, null),
                    new ScalarNode("cert", "PEM file of our client certificate", FilePath, null),
                    new ScalarNode("key", "PEM file of its key; null: it is in cert", FilePath, null)))
            {
                Optional = true,
            },
            new SectionNode(
                "embedded",
                "a catalog inside Gateway that speaks the part of Consul's API that registrators and curl use",
                new ScalarNode("listen", "where it serves", Listen, "127.0.0.1:8500"))
            {
                Optional = true,
            },
            new ListNode("files", "files of Consul registrations; * and ? in the last part, relative to this file", FilePath),
            new SectionNode(
                "guard",
                "holds instances that vanish in masses while they still answer",
                new ScalarNode("above", "share of a service's instances", PercentOrOff, "50%"),
                new ScalarNode("minInstances", "and at least so many", Integer(1, 1_000_000), "3"),
                new ScalarNode("holdFor", "how long", Span("0", "720h"), "5m")),
            new ScalarNode("portGrace", "how long a port stays open after its last claim is gone", Span("0", "24h"), "10s")),
        new ScalarNode(
            "stateDirectory",
            "last known good catalog, operator's states, sockets in run/",
            FilePath,
            "/var/lib/gateway"),
        new ScalarNode(
            "defaultEnvironment",
            "environment of instances without an environment tag",
            EnvironmentName,
            "production"),
        new EntriesNode(
            "environments",
            "tag on the instance -> where it is reached",
            EnvironmentForms.NameError,
            new SectionNode(
                "",
                "one environment",
                new ScalarNode("port", "port rule", PortRule, null) { Required = true },
                new ScalarNode("host", "host rule", HostRule, null) { Required = true }),
            """{ production: { port: "{port}", host: "{host}" }, staging: { port: "1{port}", host: "staging-{host}" } }""")
        {
            FoldCase = true,
        },
        new ScalarNode(
            "engine",
            "what runs plain HTTP/1.1 and TCP; TLS, HTTP/2 and gRPC are Kestrel's in both",
            Choice(["loops", "kestrel"]),
            "loops"),
        new SectionNode(
            "internal",
            "the per-service ports",
            new ListNode("addresses", "where they open", InternalAddress, "127.0.0.1", "::1") { NotEmpty = true }),
        new SectionNode(
            "external",
            "the edge; absent: no edge port opens",
            new ListNode("http", "plain HTTP", Listen),
            new ListNode("https", "HTTPS", Listen),
            new ScalarNode("certificates", "directory of *.pem, NAME.crt + NAME.key", FilePath, "/etc/gateway/certs"),
            new ScalarNode("defaultCertificate", "file there that serves no and unknown SNI; null: the first by file name", AnyText, null),
            new ScalarNode("strictSni", "refuse unknown SNI", OnOff, "off"),
            new EntriesNode(
                "headers",
                "set on every HTTPS response",
                HeaderNameError,
                new ScalarNode("", "value", HeaderValue, null) { Required = true },
                """
                Strict-Transport-Security: "max-age=31536000; preload"
                X-Frame-Options: DENY
                X-Content-Type-Options: nosniff
                """)
            {
                FoldCase = true,
                KeepCase = true,
            },
            new EntriesNode(
                "hosts",
                "HOST[/PREFIX] -> SERVICE (all environments, each by its host rule) or SERVICE@ENV",
                HostPathError,
                new ScalarNode("", "service", ServiceReference, null) { Required = true },
                null))
        {
            Optional = true,
        },
        new ListNode("trustedProxies", "peers of the edge whose X-Forwarded-* headers are believed", Network),
        new EntriesNode("services", "hand tuning; NAME or NAME@ENV", ServiceNameError, new SettingsNode("", "one service"), null),
        new EntriesNode(
            "static",
            "well-known services that are not in the catalog",
            StaticNameError,
            new SettingsNode(
                "",
                "one service",
                new ScalarNode("port", "where it is reached", Port, null) { Required = true },
                new ListNode("servers", "its servers", Server) { NotEmpty = true }),
            null),
        new SectionNode(
            "limits",
            "what Gateway takes on",
            new ScalarNode(
                "maxConnections",
                "client connections at a time; lowered to what the descriptor limit allows",
                Integer(1, 10_000_000),
                "50000"),
            new ScalarNode("maxConnectionsKey", "key in Consul's KV that overrides it", AnyText, "service/haproxy/maxconn")
            {
                Nullable = true,
            }),
        new SectionNode(
            "admin",
            "metrics, status, API",
            new ScalarNode("listen", "where it serves", Listen, "127.0.0.1:9900"),
            new ListNode("names", "host names it may be called by, beside IP addresses and localhost", HostName),
            new ScalarNode("tokensFile", "file with 'ROLE TOKEN' lines", FilePath, null) { NotBuilt = "a file of tokens" },
            new ScalarNode("group", "group that may use the unix socket", AnyText, null) { NotBuilt = "a group for the socket" }),
        new SectionNode(
            "drain",
            "how the process ends",
            new ScalarNode("grace", "serving as usual after /readyz turned 503", Span("0", "24h"), "5s"),
            new ScalarNode("idle", "idle time after which a keep-alive connection is closed", Span("0", "24h"), "2s"),
            new ScalarNode("timeout", "deadline, from the signal", Span("0", "24h"), "75s")),
        new SectionNode(
            "upgrade",
            "how the process is replaced",
            new ScalarNode("ready", "how long the new process may take to be ready", Span("1s", "24h"), "60s"),
            new ScalarNode("timeout", "how long the old process may take to finish", Span("0", "168h"), "10m")),
        new SectionNode(
            "log",
            "what is logged",
            new SectionNode(
                "access",
                "the access log; off: none",
                new ScalarNode("format", "form of a line", Choice(["json"], "haproxy", "combined"), "json"),
                new ScalarNode("file", "where it goes; \"-\": standard output", FilePath, "-"))
            {
                OrOff = true,
            },
            new ScalarNode("syslog", "syslog server", AnyText, null) { NotBuilt = "syslog" }));

    /// <summary>Dotted paths of all values that a variable may set.</summary>
    public static IReadOnlyList<string> ScalarPaths { get; } = [.. Scalars(Root, "")];

    /// <summary>Dotted paths of all keys that are not the operator's to choose.</summary>
    public static IReadOnlyList<string> KeyPaths { get; } = [.. Keys(Root, "")];

    /// <summary>Joins a path and a key.</summary>
    public static string Join(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    private static IEnumerable<string> Scalars(SchemaNode node, string path) => node switch
    {
        ScalarNode => [path],
        SectionNode { OrOff: true } section => section.Children.SelectMany(c => Scalars(c, Join(path, c.Key))).Prepend(path),
        SectionNode section => section.Children.SelectMany(c => Scalars(c, Join(path, c.Key))),
        _ => [],
    };

    private static IEnumerable<string> Keys(SectionNode section, string path) =>
        section.Children.SelectMany(c => c is SectionNode inner
            ? Keys(inner, Join(path, c.Key)).Prepend(Join(path, c.Key))
            : [Join(path, c.Key)]);

    private static ScalarType Span(string min, string max) =>
        Planning.Units.TryDuration(min, out TimeSpan from) && Planning.Units.TryDuration(max, out TimeSpan to)
            ? Duration(from, to)
            : throw new InvalidOperationException($"{min}-{max}");

    private static string? ServiceNameError(string name)
    {
        int at = name.LastIndexOf('@');
        string service = at < 0 ? name : name[..at];
        if (service.Length == 0 || service != service.Trim())
        {
            return $"'{name}' is not a service; allowed is NAME or NAME@ENV";
        }

        return at < 0 ? null : EnvironmentForms.NameError(name[(at + 1)..]);
    }

    private static string? StaticNameError(string name) =>
        name.Length == 0 || name != name.Trim() || name.Contains('@', StringComparison.Ordinal)
            ? $"'{name}' is not a name for a static service; allowed is NAME, without @: static services have no environments"
            : null;

    private static string? HostPathError(string name)
    {
        int slash = name.IndexOf('/', StringComparison.Ordinal);
        return Planning.HostNames.TryHost(slash < 0 ? name : name.AsSpan(0, slash), out _)
            && Planning.HostNames.TryPrefix(slash < 0 ? "" : name.AsSpan(slash), out _)
            ? null
            : $"'{name}' is not allowed here; allowed is HOST, HOST/PREFIX or *.DOMAIN: {Planning.HostNames.HostForm}, {Planning.HostNames.PrefixForm}";
    }

    // RFC 9110 section 5.1: a field name is a token.
    private static string? HeaderNameError(string name) =>
        name.Length == 0 || !name.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c, StringComparison.Ordinal))
            ? $"'{name}' is not a header name"
            : DataPlane.Http.HeaderRules.EndsHere(name) || name.ToUpperInvariant() is "CONTENT-LENGTH" or "TRAILER" or "DATE"
                ? $"'{name}' belongs to the connection or the message and is not set here"
                : null;
}
