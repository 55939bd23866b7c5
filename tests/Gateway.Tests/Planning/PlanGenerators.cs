using FsCheck;
using FsCheck.Fluent;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>Catalogs as they are in the worst of worlds: right, nearly right and garbage side by side, few enough names to collide.</summary>
internal static class PlanGenerators
{
    private static readonly string Long = new('x', 4096);

    private static readonly string[] Names =
        ["a", "b", "a@b", "a@b@production", "web", "web-3000", "web-3010", "api2", "x.y z", "ü\n", "", "3000", "a:3000", "a/b", Long];

    private static readonly string[] WellFormedTags =
    [
        "production", "staging", " Production ", "STAGING", "internal-listen-http-3000", "internal-listen-http-3010",
        "internal-listen-tcp-3000", "internal-listen-http-13000", "internal-listen-tcp-443", "internal-listen-http-1443",
        "internal-listen-http-60000", "external-host-a.com", "external-host-A.com./x", "external-host-*.a.com",
        "external-host-staging-a.com", "balance-leastconn", "balance-roundrobin", "gateway-check.http=/up", "gateway-check=none",
        "gateway-weight=0", "gateway-weight=7", "gateway-protocol=h2c", "gateway-timeouts.response=5s",
    ];

    private static readonly string[] OddTags =
    [
        "stagging", "prodution", "internal-listen-http-0", "internal-listen-http-03000", "internal-listen-http-131000",
        "x-internal-listen-http-3000y", "internal-listen-", "external-host-", "external-host-a..b", "balance-", "balance-random",
        "gateway-", "gateway-=", "gateway-check.http", "gateway-chek=1", "gateway-sticky=cookie", "\u0000", "", " ", "\ud800",
        "internal-listen-http-3\ufffd0", "urlprefix-/a", "traefik.enable=true", Long, "internal-listen-http-" + Long, "gateway-" + Long,
    ];

    private static readonly string[] Ids = ["i:3000", "i:3010", "j:3000", "j:3010", "k", "k:udp", "l:99999", ":", "", "m:0"];

    private static readonly string[] Addresses =
        ["10.0.0.1", "10.0.0.2", "127.0.0.1", "::1", "localhost", "", "0.0.0.0", "::", "db.internal", "bad host", "[::1]", "999.1.1.1", Long];

    private static readonly int[] Ports = [0, -1, 1, 80, 3000, 13000, 9900, 31000, 65535, 65536, int.MaxValue, int.MinValue];

    private static readonly string[] MetaKeys =
        ["gateway_check_http", "gateway-balance", "Gateway_Weight", "gateway_", "gateway", "gateway_xx", "version", "", Long];

    private static readonly string[] MetaValues = ["/up", "leastconn", "roundrobin", "3", "", "\u0001", "nonsense"];

    private static readonly Gen<string> AnyText =
        ArbMap.Default.GeneratorFor<string>().Select(s => s ?? "");

    private static readonly Gen<string> AnyTag = Gen.Frequency(
        (10, Gen.Elements(WellFormedTags)),
        (4, Gen.Elements(OddTags)),
        (1, AnyText),
        (1, AnyText.Select(s => "internal-listen-http-" + s)),
        (1, AnyText.Select(s => "external-host-" + s)),
        (1, AnyText.Select(s => "gateway-" + s)));

    private static readonly Gen<string> AnyName = Gen.Frequency((12, Gen.Elements(Names)), (1, AnyText));

    private static readonly Gen<MetaEntry[]> AnyMeta =
        from keys in Gen.SubListOf(MetaKeys)
        from values in Gen.ArrayOf(Gen.Elements(MetaValues), MetaKeys.Length)
        select keys.Select((k, i) => new MetaEntry(k, values[i])).ToArray();

    public static Gen<Instance> AnyInstance { get; } =
        from service in AnyName
        from node in Gen.Elements("n1", "n2", "n/3")
        from id in Gen.Elements(Ids)
        from address in Gen.Elements(Addresses)
        from port in Gen.Elements(Ports)
        from count in Gen.Choose(0, 6)
        from tags in Gen.ArrayOf(AnyTag, count)
        from withMeta in Gen.Choose(0, 3)
        from meta in AnyMeta
        from health in Gen.Elements(Enum.GetValues<ReportedHealth>())
        from weights in Gen.Elements((1, 1), (10, 3), (5, 0), (-1, 99999))
        from index in Gen.Choose(0, 4)
        select new Instance
        {
            Service = service,
            Node = node,
            ServiceId = id,
            Address = address,
            Port = port,
            Tags = tags.ToEquatableArray(),
            Meta = withMeta == 0 ? meta.ToEquatableArray() : [],
            Health = health,
            WeightPassing = weights.Item1,
            WeightWarning = weights.Item2,
            CreateIndex = (ulong)index,
        };

    /// <summary>Instances whose identities are unique within their service.</summary>
    public static Gen<Instance[]> AnyInstances { get; } =
        from count in Gen.Choose(0, 14)
        from instances in Gen.ArrayOf(AnyInstance, count)
        select instances.DistinctBy(i => (i.Service, i.Key)).ToArray();

    public static Gen<PlanningOptions> AnyOptions { get; } = Gen.Elements(
        new PlanningOptions(),
        new PlanningOptions { Edge = true },
        new PlanningOptions { Edge = true, Reserved = [new(9900, "admin"), new(13000, "static x")], DefaultEnvironment = "nowhere" },
        new PlanningOptions
        {
            Edge = true,
            Environments = [new("production", "{port}", "{host}"), new("staging", "{port}", "{host}"), new("qa", "9{port}", "{host}.qa")],
            Services = [new("a", null, [new("check", "none", "f:1:1")]), new("web", "STAGING", [new("weight", "3", "f:2:1"), new("x", "y", "f")])],
        },
        new PlanningOptions
        {
            Reserved = [new(8500, ReservedPort.EmbeddedCatalog)],
            Static =
            [
                new("web", 13000, ["10.0.0.9:8080", "127.0.0.1:3000"], [new("check", "none", "f:3:1")], "f:3:1"),
                new("a", 3010, ["127.0.0.1:8500", "bad host:1", "[::1]:80"], [new("protocol", "tcp", "f:4:1"), new("x", "y", "f")], "f:4:1"),
                new("a@b", 3010, ["10.0.0.9:1"], [], "f:5:1"),
                new("a", 3011, [], [], "f:6:1"),
                new("b", 8500, ["10.0.0.9:1"], [], "f:7:1"),
            ],
        },
        new PlanningOptions
        {
            Environments = [new("static", "{port}", "{host}"), new("production", "{port}", "{host}")],
            Static = [new("web", 3000, ["10.0.0.9:8080"], [], "f:1:1")],
        },
        new PlanningOptions { Environments = [new("bad@name", "x{port}", "{host}{host}"), new("production", "3000", "one.example.com")] });

    /// <summary>Any input upon the plan of any other input.</summary>
    public static Gen<PlanInput> AnyInput { get; } =
        from before in AnyInstances
        from instances in AnyInstances
        from options in AnyOptions
        from split in Gen.Choose(0, 3)
        from keep in Gen.Choose(0, 1)
        let present = new Planner().Plan(new PlanInput { Catalogs = [CatalogSnapshot.Of(before)], Options = options })
        select new PlanInput
        {
            Catalogs = split == 0
                ? [CatalogSnapshot.Of(instances.Take(instances.Length / 2)), CatalogSnapshot.Of(instances.Skip(instances.Length / 2))]
                : [CatalogSnapshot.Of(instances)],
            Options = options,
            Present = keep == 1 ? present.Listeners : [],
            PresentRoutes = keep == 1 ? present.Routes : [],
            Expired = present.Listeners.Where((_, i) => i % 3 == 0).Select(l => l.Key).ToHashSet(),
        };
}
