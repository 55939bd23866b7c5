using System.Diagnostics;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// Waits by polling a condition until a deadline. <c>GATEWAY_TEST_STRETCH</c> (a factor, default 1) stretches every deadline
/// on a slow machine; it never shortens a wait that has already succeeded.
/// </summary>
internal static class Eventually
{
    /// <summary>The factor by which deadlines are stretched.</summary>
    public static double Stretch { get; } =
        double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) && factor > 0 ? factor : 1;

    /// <summary>A deadline of so many seconds, stretched.</summary>
    public static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds * Stretch);

    /// <summary>Polls until <paramref name="condition"/> holds; fails with <paramref name="what"/> and the last reason it did not.</summary>
    public static async Task True(Func<Task<bool>> condition, string what, double seconds = 20, Func<string>? now = null)
    {
        long start = Stopwatch.GetTimestamp();
        TimeSpan deadline = Seconds(seconds);
        Exception? last = null;
        while (true)
        {
            try
            {
                if (await condition())
                {
                    return;
                }

                last = null;
            }
            catch (Exception failure) when (failure is not HopelessException)
            {
                last = failure;
            }

            if (Stopwatch.GetElapsedTime(start) > deadline)
            {
                Assert.Fail($"Waited {deadline.TotalSeconds:0.#} s in vain for: {what}."
                    + (last is null ? "" : $" The last try: {last.GetType().Name}: {last.Message}.")
                    + (now is null ? "" : $"\nNow: {now()}"));
            }

            await Task.Delay(20);
        }
    }

    /// <summary>As the other, for a condition that needs no waiting of its own.</summary>
    public static Task True(Func<bool> condition, string what, double seconds = 20, Func<string>? now = null) =>
        True(() => Task.FromResult(condition()), what, seconds, now);

    /// <summary>Polls until <paramref name="make"/> gives something, and returns it.</summary>
    public static async Task<T> Something<T>(Func<Task<T?>> make, string what, double seconds = 20)
        where T : class
    {
        T? made = null;
        await True(async () => (made = await make()) is not null, what, seconds);
        return made!;
    }

    /// <summary>Holds a condition for a while: fails as soon as it does not hold. For promises that something does not happen.</summary>
    public static async Task Stays(Func<Task<bool>> condition, string what, double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(seconds))
        {
            Assert.True(await condition(), $"Did not last: {what} (after {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms)");
            await Task.Delay(20);
        }
    }
}

/// <summary>Thrown by a condition that can never hold any more: ends the wait at once.</summary>
internal sealed class HopelessException(string message) : Exception(message);
