using System.Text;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.Planning;
using Gateway.Tests.DataPlane.Health;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Control;

public sealed class LastKnownGoodFilesTests : IDisposable
{
    private static readonly DateTimeOffset s_at = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
    private readonly string _directory = Path.Combine(Directory.CreateTempSubdirectory("gw-lkg-").FullName, "catalog-lkg");

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(_directory)!, recursive: true);

    [Fact]
    public void What_was_written_is_read_again_with_everything()
    {
        LastKnownGood good = Make("web-ä\u2028\"") with
        {
            Listeners =
            [
                new ListenerPlan
                {
                    Key = new(ListenerKey.Internal, 3000), Protocol = ListenProtocol.Tcp, Service = "web", Environment = "staging", Cluster = "web@staging",
                },
            ],
            Routes = [new RoutePlan { Listener = new("edge", 0), Host = "a.example", PathPrefix = "/x", Cluster = "web@staging" }],
        };
        new LastKnownGoodFiles(_directory).Save(good);

        LastKnownGood read = new LastKnownGoodFiles(_directory).Load(out IReadOnlyList<Problem> problems)!;

        Assert.Empty(problems);
        Assert.Equal(good.Listeners, read.Listeners);
        Assert.Equal(good.Routes, read.Routes);
        SavedSource source = Assert.Single(read.Sources);
        Assert.Equal(("consul", s_at, true), (source.Name, source.At, source.Reported));
        Assert.Equal(good.Sources[0].Catalog.Services, source.Catalog.Services);
        Assert.Equal(good.Sources[0].Held, source.Held);
    }

    [Fact]
    public void Twenty_generations_stay()
    {
        LastKnownGoodFiles files = new(_directory);
        for (int i = 0; i < 25; i++)
        {
            files.Save(Make($"web-{i}"));
        }

        Assert.Equal(
            Enumerable.Range(6, 20).Select(i => $"{i:D10}.json"),
            Directory.EnumerateFiles(_directory).Select(p => Path.GetFileName(p)).Order(StringComparer.Ordinal));
        new LastKnownGoodFiles(_directory).Save(Make("after"));
        Assert.Equal("after", Newest());
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{\"sha256\":\"00\",\"bytes\":2}\n{}")]
    public void A_corrupt_generation_is_named_and_the_one_before_is_used(string content)
    {
        LastKnownGoodFiles files = new(_directory);
        files.Save(Make("good"));
        files.Save(Make("bad"));
        string newest = Path.Combine(_directory, "0000000002.json");
        File.WriteAllText(newest, content);

        LastKnownGood? read = new LastKnownGoodFiles(_directory).Load(out IReadOnlyList<Problem> problems);

        Assert.Equal("good", ServiceOf(read));
        Problem problem = Assert.Single(problems);
        Assert.Equal(("last-known-good-corrupt", newest), (problem.Code, problem.Place));
    }

    [Fact]
    public void A_flipped_byte_and_a_short_file_are_corrupt()
    {
        new LastKnownGoodFiles(_directory).Save(Make("good"));
        string path = Path.Combine(_directory, "0000000001.json");
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..^1]);
        Assert.Null(new LastKnownGoodFiles(_directory).Load(out _));

        File.WriteAllText(path, Encoding.UTF8.GetString(whole).Replace("good", "goot", StringComparison.Ordinal));
        Assert.Null(new LastKnownGoodFiles(_directory).Load(out IReadOnlyList<Problem> problems));
        Assert.Single(problems);
    }

    [Fact]
    public void Nothing_there_is_no_problem()
    {
        Assert.Null(new LastKnownGoodFiles(_directory).Load(out IReadOnlyList<Problem> problems));
        Assert.Empty(problems);
    }

    [Fact]
    public void A_catalog_that_is_still_confirmed_is_not_old()
    {
        LastKnownGoodFiles files = new(_directory);
        files.Save(Make("web"));
        files.Confirm(s_at + TimeSpan.FromDays(2));

        Assert.Equal(s_at + TimeSpan.FromDays(2), new LastKnownGoodFiles(_directory).Load(out _)!.Sources[0].At);
    }

    [Fact]
    public async Task A_writer_writes_the_newest_and_what_is_left_when_it_ends()
    {
        FakeClock clock = new();
        LastKnownGoodWriter writer = new(new LastKnownGoodFiles(_directory), clock, _ => { }, NullLogger.Instance);
        writer.Offer(Make("first"));
        await HealthEventually.True(() => Directory.Exists(_directory) && Newest() == "first", "the first is written");
        for (int i = 0; i < 100; i++)
        {
            writer.Offer(Make($"web-{i}"));
        }

        await writer.DisposeAsync();

        Assert.Equal("web-99", Newest());
        Assert.True(Directory.GetFiles(_directory).Length <= 3);
    }

    [Fact]
    public async Task What_cannot_be_written_is_a_problem_until_it_can()
    {
        FakeClock clock = new();
        File.WriteAllText(_directory, "a file in its place");
        IReadOnlyList<Problem> problems = [];
        await using LastKnownGoodWriter writer = new(new LastKnownGoodFiles(_directory), clock, p => Volatile.Write(ref problems, p), NullLogger.Instance);
        writer.Offer(Make("web"));
        await HealthEventually.True(() => Volatile.Read(ref problems) is [{ Code: "last-known-good-unwritable" }], "it is said");

        File.Delete(_directory);
        await HealthEventually.True(
            () =>
            {
                clock.Advance(TimeSpan.FromSeconds(1));
                return Volatile.Read(ref problems).Count == 0 && Newest() == "web";
            },
            "it is written");
    }

    private static LastKnownGood Make(string service)
    {
        Instance instance = new()
        {
            Service = service,
            Node = "n1",
            ServiceId = "i1",
            Address = "::1",
            Port = 80,
            Tags = ["production", "internal-listen-http-3000"],
            Meta = [new("a", "b"), new("gateway-check", "none")],
            Health = ReportedHealth.Warning,
            WeightPassing = 3,
            WeightWarning = 0,
            CreateIndex = 1UL << 60,
        };
        return new LastKnownGood([new SavedSource("consul", s_at, true, CatalogSnapshot.Of([instance]), [new(service, instance.Key, s_at, "why")])], [], []);
    }

    private static string? ServiceOf(LastKnownGood? good) => good?.Sources[0].Catalog.Services.Keys.Single();

    private string? Newest() => ServiceOf(new LastKnownGoodFiles(_directory).Load(out _));
}
