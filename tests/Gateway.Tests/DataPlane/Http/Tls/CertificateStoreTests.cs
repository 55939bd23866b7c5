using Gateway.Catalog;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.Tls;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.DataPlane.Http.Tls;

public sealed class CertificateStoreTests : IDisposable
{
    private readonly TestCertificates _ca = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("gw-certs-").FullName;
    private readonly CertificateStore _store = new(TimeProvider.System, NullLogger.Instance);

    [Fact]
    public async Task A_file_that_changes_appears_or_goes_is_followed_live()
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        Start();
        Assert.Equal("a.pem", _store.Table.Default!.File);
        Assert.Empty(_store.Problems());

        Write("b.pem", _ca.Bundle("b", ["b.example"]));
        await Holds(() => _store.Table.Find("b.example") is not null, "a new file serves");

        ServerCertificate before = _store.Table.Find("a.example")!;
        Write("a.pem", _ca.Bundle("a", ["a.example", "a2.example"]));
        await Holds(() => _store.Table.Find("a2.example") is not null, "a changed file serves");
        Assert.NotSame(before, _store.Table.Default);

        File.Delete(Path.Combine(_folder, "a.pem"));
        await Holds(() => _store.Table.Find("a.example") is null, "a deleted file serves no more");
        Assert.Equal("b.pem", _store.Table.Default!.File);
    }

    [Fact]
    public void What_does_not_change_stays_the_same_object_so_that_sessions_can_be_resumed()
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        Start();
        ServerCertificate before = _store.Table.Default!;
        Write("b.pem", _ca.Bundle("b", ["b.example"]));
        Start();
        Assert.Same(before, _store.Table.Default);
        Assert.NotNull(_store.Table.Find("b.example"));
    }

    [Fact]
    public async Task A_bad_or_half_written_file_keeps_the_old_one_and_is_a_problem_until_it_is_whole()
    {
        string good = _ca.Bundle("a", ["a.example"]);
        Write("a.pem", good);
        Start();
        ServerCertificate before = _store.Table.Default!;
        string next = _ca.Bundle("a", ["a.example", "new.example"]);
        Write("a.pem", next[..(next.Length / 2)]);
        await Holds(() => _store.Problems().Count == 1, "half a file is a problem");
        Problem problem = Assert.Single(_store.Problems());
        Assert.Equal("certificate-unusable", problem.Code);
        Assert.EndsWith("a.pem", problem.Place, StringComparison.Ordinal);
        Assert.Contains("goes on serving", problem.Now, StringComparison.Ordinal);
        Assert.Same(before, _store.Table.Default);
        Write("a.pem", next);
        await Holds(() => _store.Problems().Count == 0 && _store.Table.Find("new.example") is not null, "the whole file serves");
    }

    [Fact]
    public async Task An_emptied_or_missing_directory_keeps_what_served()
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        Start();
        File.Delete(Path.Combine(_folder, "a.pem"));
        await Holds(() => _store.Problems().Count == 1, "an empty directory is a problem");
        Assert.Equal("certificates-missing", Assert.Single(_store.Problems()).Code);
        Assert.NotNull(_store.Table.Find("a.example"));
        Start(new EdgeOptions { Listeners = Https, Certificates = Path.Combine(_folder, "nowhere") });
        Assert.Contains("no such directory", Assert.Single(_store.Problems()).Now, StringComparison.Ordinal);
        Assert.NotNull(_store.Table.Default);
    }

    [Theory]
    [InlineData("b.pem")]
    [InlineData("b")]
    [InlineData("/etc/gateway/certs/b.pem")]
    public void The_default_may_be_named(string name)
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        Write("b.pem", _ca.Bundle("b", ["b.example"]));
        Start(Options with { DefaultCertificate = name });
        Assert.Equal("b.pem", _store.Table.Default!.File);
        Assert.Empty(_store.Problems());
    }

    [Fact]
    public void A_named_default_that_is_not_there_is_a_problem_and_the_first_serves()
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        Start(Options with { DefaultCertificate = "c.pem" });
        Assert.Equal("a.pem", _store.Table.Default!.File);
        Assert.Equal("certificate-default-missing", Assert.Single(_store.Problems()).Code);
    }

    [Theory]
    [InlineData(13, true)]
    [InlineData(15, false)]
    public void A_certificate_that_ends_within_14_days_is_a_problem(int days, bool expected)
    {
        Write("a.pem", _ca.Bundle("a", ["a.example"], days));
        Start();
        Assert.Equal(expected ? ["certificate-expires"] : [], _store.Problems().Select(p => p.Code));
    }

    [Fact]
    public async Task A_file_that_changes_while_the_directory_is_read_is_read_right_after()
    {
        TimerWatch clock = new();
        WriteDuringRead log = new();
        using CertificateStore store = new(clock, log);
        Write("a.pem", _ca.Bundle("a", ["a.example"]));
        string next = _ca.Bundle("b", ["b.example"]);
        log.Reading = () =>
        {
            Write("b.pem", next);
            SpinWait.SpinUntil(() => clock.Due == TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(10));
        };
        store.Configure(Options);
        Assert.Null(store.Table.Find("b.example"));
        Assert.Equal(TimeSpan.FromMilliseconds(100), clock.Due);

        // An event in between may have come twice; the read after the last one sees everything.
        await Holds(
            () =>
            {
                clock.Fire();
                return store.Table.Find("b.example") is not null;
            },
            "the change is read");
        await Holds(
            () =>
            {
                clock.Fire();
                return clock.Due == TimeSpan.FromSeconds(10);
            },
            "nothing else is due");
    }

    [Fact]
    public void Without_https_nothing_is_read()
    {
        Write("a.pem", "garbage");
        Start(Options with { Listeners = [new("*", 80, false)] });
        Assert.Empty(_store.Problems());
        Assert.Null(_store.Table.Default);
    }

    public void Dispose()
    {
        _store.Dispose();
        Directory.Delete(_folder, recursive: true);
        _ca.Dispose();
    }

    /// <summary>Time that stands still, with one timer that tells when it is due.</summary>
    private sealed class TimerWatch : TimeProvider, ITimer
    {
        private TimerCallback? _callback;

        public TimeSpan Due { get; private set; } = Timeout.InfiniteTimeSpan;

        public void Fire() => _callback!(null);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _callback = callback;
            return this;
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Due = dueTime;
            return true;
        }

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    /// <summary>Does something once in the middle of a read: when the first certificate is told of.</summary>
    private sealed class WriteDuringRead : ILogger
    {
        public Action? Reading { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            Action? reading = Reading;
            Reading = null;
            reading?.Invoke();
        }
    }

    private static EquatableArray<Gateway.Planning.EdgeListener> Https => [new("*", 443, true)];

    private EdgeOptions Options => new() { Listeners = Https, Certificates = _folder };

    private void Start(EdgeOptions? options = null) => _store.Configure(options ?? Options);

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder, name), text);

    private static async Task Holds(Func<bool> condition, string what)
    {
        double stretch = double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) ? factor : 1;
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(25 * stretch));
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"not in time: {what}");
            await Task.Delay(10);
        }
    }
}
