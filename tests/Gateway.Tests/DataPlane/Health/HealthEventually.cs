using System.Diagnostics;
using System.Globalization;

namespace Gateway.Tests.DataPlane.Health;

/// <summary>Waits by polling a condition until a deadline; <c>GATEWAY_TEST_STRETCH</c> stretches it on slow machines.</summary>
internal static class HealthEventually
{
    public static async Task True(Func<bool> condition, string what, double seconds = 10)
    {
        string? setting = Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH");
        double stretch = double.TryParse(setting, CultureInfo.InvariantCulture, out double factor) ? factor : 1;
        long began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(began).TotalSeconds > seconds * stretch)
            {
                Assert.Fail($"Not within {seconds * stretch} s: {what}.");
            }

            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }
}
