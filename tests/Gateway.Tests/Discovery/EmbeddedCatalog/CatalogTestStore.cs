using System.Text;
using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Tests.Discovery.EmbeddedCatalog;

/// <summary>A store in a directory of its own that goes with the test.</summary>
internal sealed class CatalogTestStore : IDisposable
{
    private readonly string? _own;

    public CatalogTestStore(CatalogTestClock? clock = null, string? directory = null)
    {
        Clock = clock ?? new CatalogTestClock();
        _own = directory is null ? FastDirectory("store") : null;
        Directory = directory ?? _own!;
        Store = Open();
    }

    /// <summary>A directory in memory where there is one: thousands of flushes to a disk are not what these tests ask about.</summary>
    public static string FastDirectory(string what)
    {
        string memory = "/dev/shm";
        string path = Path.Combine(
            System.IO.Directory.Exists(memory) ? memory : Path.GetTempPath(), $"gateway-{what}-{Guid.NewGuid():N}");
        return System.IO.Directory.CreateDirectory(path).FullName;
    }

    public CatalogTestClock Clock { get; }

    public string Directory { get; }

    public EmbeddedCatalogStore Store { get; private set; }

    public string Journal => Path.Combine(Directory, "catalog.journal");

    public void Register(string json)
    {
        (ServiceRegistration? registration, Refusal? refusal) = RegistrationDecoder.Service(Encoding.UTF8.GetBytes(json));
        Assert.True(refusal is null, refusal?.Text);
        Store.Register(registration!, replaceChecks: false);
    }

    public ulong Index(TopicKind kind, string name = "") => Store.Read(s => s.IndexOf(new Topic(kind, name)));

    public CheckRecord Check(string id) => Store.Read(s => s.FindCheck(id)) ?? throw new InvalidOperationException($"no check {id}");

    /// <summary>Everything the catalog knows, as text.</summary>
    public string Content() => Content(Store);

    public static string Content(EmbeddedCatalogStore store) => store.Read(s =>
        string.Join('\n', s.Services.Select(x => $"{x.Id} {x.Name} {x.CreateIndex} {x.ModifyIndex} {string.Join(',', x.Tags)} "
            + $"health {s.IndexOf(new Topic(TopicKind.Health, x.Name))} definition {s.IndexOf(new Topic(TopicKind.Definition, x.Name))}"))
        + "\n" + string.Join('\n', s.Checks.Select(c => $"{c.Definition.Id} {c.Status} {c.Deadline:O} {c.CriticalSince:O} {c.CreateIndex} {c.ModifyIndex}"))
        + "\n" + string.Join('\n', s.Keys.All.Select(k => $"{k.Key} {Convert.ToHexString(k.Value)} {k.Flags} {k.CreateIndex} {k.ModifyIndex}"))
        + $"\nservices {s.IndexOf(new Topic(TopicKind.Services))} state {s.IndexOf(new Topic(TopicKind.State))} "
        + $"keys {s.IndexOf(new Topic(TopicKind.KeyPrefix))} node {s.Node}");

    public void Reopen()
    {
        Store.Dispose();
        Store = Open();
    }

    public void Dispose()
    {
        Store.Dispose();
        if (_own is not null)
        {
            System.IO.Directory.Delete(_own, recursive: true);
        }
    }

    private EmbeddedCatalogStore Open() => new(Clock, Directory, "n1", "10.0.0.1");
}
