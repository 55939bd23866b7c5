using Gateway.Catalog;
using Gateway.Discovery.FileCatalogs;

namespace Gateway.Tests.Discovery.FileCatalogs;

public sealed class CatalogFileTests
{
    private const string Good = """
        services:
          - name: web
            id: web-1
            address: 10.0.0.1
            port: 8080
            tags: [production, internal-listen-http-3000]
            meta: { gateway-balance: leastconn, version: 1.10 }
            weights: { passing: 5, warning: 1 }
          - { ID: db, Name: db, Node: n2, Address: "::1", Port: 5432 }
        """;

    [Fact]
    public void Registrations_become_instances()
    {
        CatalogFileContent content = CatalogFile.Read(Good, "f.yaml");
        Assert.Empty(content.Problems);
        Assert.Equal(
            [
                new Instance
                {
                    Service = "web",
                    ServiceId = "web-1",
                    Node = "file",
                    Address = "10.0.0.1",
                    Port = 8080,
                    Tags = ["production", "internal-listen-http-3000"],
                    Meta = [new MetaEntry("gateway-balance", "leastconn"), new MetaEntry("version", "1.10")],
                    WeightPassing = 5,
                },
                new Instance { Service = "db", ServiceId = "db", Node = "n2", Address = "::1", Port = 5432 },
            ],
            content.Instances);
    }

    [Fact]
    public void Json_of_consuls_agent_is_read_when_it_is_a_list()
    {
        CatalogFileContent content = CatalogFile.Read(
            """
            {"services": [{"ID":"w:1","Service":"web","Tags":["a"],"Meta":{},"Port":1,"Address":"10.0.0.5",
              "TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.5","Port":1}},"Weights":{"Passing":1,"Warning":1},
              "EnableTagOverride":false,"ContentHash":"b460461b118c72af"}]}
            """,
            "f.json");
        Assert.Empty(content.Problems);
        Assert.Equal(("web", "w:1", 1), (content.Instances[0].Service, content.Instances[0].ServiceId, content.Instances[0].Port));
    }

    [Theory]
    [InlineData("prot: 1", 3, 5, "catalog-file-key", "prot", "port (nearest)")]
    [InlineData("port: \"80\"", 3, 11, "catalog-file-type", "80", "a whole number")]
    [InlineData("port: x", 3, 11, "catalog-file-type", "x", "a whole number")]
    [InlineData("tags: a", 3, 11, "catalog-file-type", "a", "a list of strings")]
    [InlineData("tags: [a, [b]]", 3, 15, "catalog-file-type", "a list", "a list of strings")]
    [InlineData("meta: [a]", 3, 11, "catalog-file-type", "a list", "a mapping of strings")]
    [InlineData("meta: { a: { b: c } }", 3, 16, "catalog-file-type", "a mapping", "a mapping of strings")]
    [InlineData("weights: { passing: 0 }", 3, 25, "catalog-file-type", "0", "1 to 65535")]
    [InlineData("weights: { pasing: 1, passing: 1 }", 3, 16, "catalog-file-key", "pasing", "passing, warning")]
    [InlineData("health: sick", 3, 13, "catalog-file-type", "sick", "passing, warning, critical, maintenance, unchecked")]
    [InlineData("address: 10.0.0.9", 3, 5, "catalog-file-duplicate", "address", "the key once")]
    [InlineData("name: [x]", 3, 11, "catalog-file-type", "a list", "a string as 'name'")]
    public void A_bad_entry_is_named_with_its_place_and_its_neighbours_stand(
        string line, int at, int column, string code, string value, string allowed)
    {
        string name = line.StartsWith("name:", StringComparison.Ordinal) ? "service: x" : "name: x";
        CatalogFileContent content = CatalogFile.Read(
            $"services:\n  - address: 10.0.0.1\n    {line}\n    {name}\n  - {{ name: good, address: 10.0.0.2, port: 1 }}\n", "f.yaml");
        Assert.False(content.Broken);
        Assert.Equal("good", Assert.Single(content.Instances).Service);
        Problem problem = content.Problems[0];
        Assert.Equal($"f.yaml:{at}:{column}", problem.Place);
        Assert.Equal(code, problem.Code);
        Assert.Equal(value, problem.Value);
        Assert.Contains(allowed, problem.Allowed, StringComparison.Ordinal);
    }

    [Fact]
    public void Checks_are_reported_as_ignored_and_the_entry_stands()
    {
        CatalogFileContent content = CatalogFile.Read(
            "services:\n- { name: a, address: h, port: 1, check: { http: /x } }\n- { name: b, address: h, port: 1, checks: [] }\n", "f.yaml");
        Assert.Equal(2, content.Instances.Count);
        Assert.Equal(["f.yaml:2:35", "f.yaml:3:35"], content.Problems.Select(p => p.Place));
        Assert.All(content.Problems, p => Assert.Equal("catalog-file-check", p.Code));
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing\n")]
    [InlineData("services:\n")]
    [InlineData("services: {}\n")]
    [InlineData("- a\n")]
    [InlineData("service: []\n")]
    [InlineData("services: [\n")]
    [InlineData("services:\n  - name: a\n   port: 1\n")]
    [InlineData("services: [*a]\n")]
    [InlineData("services: &a [*a]\n")]
    [InlineData("services: []\n---\nservices: []\n")]
    [InlineData("\u0000")]
    public void A_file_that_is_no_catalog_is_broken_as_a_whole(string text)
    {
        CatalogFileContent content = CatalogFile.Read(text, "f.yaml");
        Assert.True(content.Broken);
        Assert.Matches(@"^f\.yaml:\d+:\d+$", Assert.Single(content.Problems).Place);
    }

    [Fact]
    public void Depth_and_aliases_are_bounded()
    {
        Assert.True(CatalogFile.Read("services: " + new string('[', 5000), "f").Broken);
        Assert.False(CatalogFile.Read("a: &a [x]\nservices: [{ name: n, address: h, port: 1, tags: *a }]", "f").Broken);
    }

    [Fact]
    public void An_id_is_taken_once_per_node()
    {
        CatalogFileContent content = CatalogFile.Read(
            "services:\n- { name: a, address: h, port: 1 }\n- { name: a, address: h, port: 2 }\n- { name: a, node: o, address: h, port: 3 }\n", "f.yaml");
        Assert.Equal([1, 3], content.Instances.Select(i => i.Port));
        Assert.Equal("f.yaml:3:3", Assert.Single(content.Problems).Place);
    }

    [Fact]
    public void What_is_written_is_read_back_equal()
    {
        string nasty = " a\"\\\n\t\r\0\u0085\u2028\ufeff'#:{}[]*&!|>%@`é😀 ";
        List<Instance> instances =
        [
            new() { Service = "plain", ServiceId = "p", Node = "n", Address = "10.0.0.1", Port = 80 },
            new()
            {
                Service = nasty,
                ServiceId = nasty + "1",
                Node = "null",
                Address = "",
                Port = 70000,
                Tags = ["", nasty, "true", "123", "~", new string('x', 4096)],
                Meta = [new MetaEntry("", ""), new MetaEntry(nasty, nasty), new MetaEntry(new string('z', 2000), "v")],
                WeightPassing = 65535,
                WeightWarning = 0,
                Health = ReportedHealth.Maintenance,
                CreateIndex = ulong.MaxValue,
            },
        ];
        instances.AddRange(Enum.GetValues<ReportedHealth>().Select(h => new Instance
        {
            Service = "health",
            ServiceId = h.ToString(),
            Node = "n",
            Address = "::1",
            Port = 0,
            Health = h,
            CreateIndex = 5,
        }));
        instances[1] = instances[1] with { Meta = instances[1].Meta.OrderBy(m => m.Key, StringComparer.Ordinal).ToEquatableArray() };
        CatalogSnapshot snapshot = CatalogSnapshot.Of(instances);
        CatalogFileContent content = CatalogFile.Read(CatalogFile.Write(snapshot), "dump");
        Assert.Empty(content.Problems);
        CatalogSnapshot back = CatalogSnapshot.Of(content.Instances);
        Assert.Equal(snapshot.Services.Values, back.Services.Values);
        Assert.Equal("services: []\n", CatalogFile.Write(CatalogSnapshot.Empty));
        Assert.False(CatalogFile.Read(CatalogFile.Write(CatalogSnapshot.Empty), "dump").Broken);
    }

    [Fact]
    public void Any_text_gives_problems_and_never_an_exception()
    {
        Random random = new(3);
        string alphabet = "services:\n  - name: a\"'{}[]*&!|>%@#~,?\t\0é";
        for (int i = 0; i < 4_000; i++)
        {
            char[] text = Good.ToCharArray();
            for (int flips = random.Next(1, 6); flips > 0; flips--)
            {
                text[random.Next(text.Length)] = alphabet[random.Next(alphabet.Length)];
            }

            _ = CatalogFile.Read(new string(text, 0, random.Next(text.Length + 1)), "f.yaml");
        }
    }
}
