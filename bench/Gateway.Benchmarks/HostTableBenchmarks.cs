using System.Globalization;
using System.Text;
using BenchmarkDotNet.Attributes;
using Gateway.DataPlane.Http.Routing;

namespace Gateway.Benchmarks;

/// <summary>
/// Question: what does a host lookup cost, and does it depend on how many hosts there are? Target: 50 ns at 10,000 hosts, at most
/// 1.1 times the cost at 10.
/// </summary>
[MemoryDiagnoser]
public class HostTableBenchmarks
{
    private HostTable<string> _table = null!;
    private string[] _hosts = null!;
    private byte[][] _bytes = null!;
    private int _next;

    /// <summary>Hosts in the table.</summary>
    [Params(10, 10_000, 100_000)]
    public int Hosts { get; set; }

    /// <summary>Whether the table holds a wildcard, which costs a probe for each dot.</summary>
    [Params(false, true)]
    public bool Wildcard { get; set; }

    /// <summary>Builds the table, and what is asked of it in an order that no cache foresees.</summary>
    [GlobalSetup]
    public void Build()
    {
        string[] names = [.. Enumerable.Range(0, Hosts).Select(i =>
            string.Create(CultureInfo.InvariantCulture, $"service-{i}.example.com"))];
        IEnumerable<(string, string, string)> routes = names.Select(name => (name, "/", name));
        _table = new HostTable<string>(Wildcard ? routes.Append(("*.wild.example.com", "/", "wild")) : routes);
        Random random = new(1);
        _hosts = [.. Enumerable.Range(0, 1024).Select(_ => names[random.Next(Hosts)] + ":3000")];
        _bytes = [.. _hosts.Select(Encoding.ASCII.GetBytes)];
    }

    /// <summary>As the Kestrel lane asks.</summary>
    [Benchmark]
    public string? ByCharacters() => _table.Find(_hosts[_next++ & 1023], "/some/path");

    /// <summary>As an engine asks that reads bytes.</summary>
    [Benchmark]
    public string? ByBytes() => _table.Find(_bytes[_next++ & 1023], "/some/path"u8);
}
