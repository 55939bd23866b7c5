using Gateway.Catalog;
using Gateway.Control;
using Microsoft.Extensions.Logging;

namespace Gateway.Tests.Control;

/// <summary>Since when a problem stands, and what the log says of it.</summary>
public sealed class ProblemBookTests
{
    private readonly FakeClock _clock = new();
    private readonly Lines _log = new();
    private readonly ProblemBook _book;

    public ProblemBookTests() => _book = new ProblemBook(_clock, _log);

    [Fact]
    public void Since_survives_any_number_of_looks_and_equal_copies()
    {
        DateTimeOffset began = Assert.Single(Look(Of())).Since;
        for (int i = 0; i < 5; i++)
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            Assert.Equal(began, Assert.Single(Look(Of())).Since);
        }

        Assert.Single(_log.All);
    }

    [Fact]
    public void Other_words_of_what_happens_now_are_the_same_problem()
    {
        DateTimeOffset began = Assert.Single(Look(Of() with { Now = "held by pid 1" })).Since;
        _clock.Advance(TimeSpan.FromMinutes(1));
        StandingProblem later = Assert.Single(Look(Of() with { Now = "held by pid 2" }));
        Assert.Equal((began, "held by pid 2"), (later.Since, later.Problem.Now));
        Assert.Single(_log.All);
    }

    [Fact]
    public void An_error_that_reads_differently_is_the_same_problem_where_its_value_moves()
    {
        Problem refused = Of() with { Value = "Connection refused", ValueMoves = true };
        DateTimeOffset began = Assert.Single(Look(refused)).Since;
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(began, Assert.Single(Look(refused with { Value = "no whole answer within 15 s" })).Since);
        Assert.Single(_log.All);
    }

    [Fact]
    public void Another_tag_of_the_same_instance_is_another_problem()
    {
        Look(Of() with { Value = "a" });
        _clock.Advance(TimeSpan.FromMinutes(1));
        IReadOnlyList<StandingProblem> both = Look(Of() with { Value = "a" }, Of() with { Value = "b" });
        Assert.Equal(TimeSpan.FromMinutes(1), both[1].Since - both[0].Since);
        Assert.Equal(2, _log.All.Count);
    }

    [Fact]
    public void One_that_went_and_came_back_begins_anew_and_the_log_says_both()
    {
        DateTimeOffset began = Assert.Single(Look(Of())).Since;
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Empty(Look());
        Assert.NotEqual(began, Assert.Single(Look(Of())).Since);
        Assert.Equal(3, _log.All.Count);
        Assert.Contains("is gone", _log.All[1], StringComparison.Ordinal);
    }

    [Fact]
    public void What_its_reporter_said_is_not_said_again_but_stands()
    {
        _book.Pin("reload", [Of()], said: true);
        Assert.Single(Look());
        _book.Pin("reload", []);
        Assert.Empty(Look());
        Assert.Empty(_log.All);
    }

    private static Problem Of() => new() { Code = "port-in-use", Service = "web", Place = "127.0.0.1:3000", Now = "tried again" };

    private IReadOnlyList<StandingProblem> Look(params Problem[] problems) => _book.Observe(() => problems);

    private sealed class Lines : ILogger
    {
        public List<string> All { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            All.Add(formatter(state, exception));
    }
}
