using FsCheck;
using FsCheck.Fluent;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

public sealed class UnitsTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("10s", 10_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("5m", 300_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("0", 0)]
    [InlineData("0s", 0)]
    [InlineData("720h", 2_592_000_000)]
    [InlineData("0.001ms", 0.001)]
    public void Durations_are_read(string text, double milliseconds)
    {
        Assert.True(Units.TryDuration(text, out TimeSpan duration));
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), duration);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("ms")]
    [InlineData("5")]
    [InlineData("-5s")]
    [InlineData("+5s")]
    [InlineData(" 5s")]
    [InlineData("5 s")]
    [InlineData("5S")]
    [InlineData("5d")]
    [InlineData("1e3s")]
    [InlineData("1,000s")]
    [InlineData(".5s")]
    [InlineData("5.s")]
    [InlineData("721h")]
    [InlineData("1h30m")]
    [InlineData("99999999999999999999999999999999h")]
    [InlineData("NaNs")]
    [InlineData("٣s")]
    public void What_is_no_duration_is_refused(string text)
    {
        Assert.False(Units.TryDuration(text, out TimeSpan duration));
        Assert.Equal(TimeSpan.Zero, duration);
    }

    [Fact]
    public void Durations_read_back_as_they_were_written() => Check.One(
        Config.QuickThrowOnFailure,
        Prop.ForAll(Arb.From(Gen.Choose(0, int.MaxValue).Select(i => TimeSpan.FromMicroseconds((double)i * 997))), written =>
            Units.TryDuration(Units.Duration(written), out TimeSpan read) && read == written));

    [Theory]
    [InlineData("0", 0)]
    [InlineData("512B", 512)]
    [InlineData("64KiB", 65536)]
    [InlineData("8MiB", 8388608)]
    [InlineData("1GiB", 1073741824)]
    [InlineData("1000", 1000)]
    public void Sizes_are_read_and_written(string text, long bytes)
    {
        Assert.True(Units.TrySize(text, out long size));
        Assert.Equal(bytes, size);
        Assert.True(Units.TrySize(Units.Size(bytes), out long again));
        Assert.Equal(bytes, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("B")]
    [InlineData("KiB")]
    [InlineData("64KB")]
    [InlineData("64K")]
    [InlineData("-1B")]
    [InlineData("1.5MiB")]
    [InlineData("9999999999GiB")]
    [InlineData("99999999999999999999")]
    public void What_is_no_size_is_refused(string text) => Assert.False(Units.TrySize(text, out _));

    [Theory]
    [InlineData("on", true)]
    [InlineData("TRUE", true)]
    [InlineData("off", false)]
    [InlineData("False", false)]
    public void Switches_are_read(string text, bool value)
    {
        Assert.True(Units.TryBoolean(text, out bool read));
        Assert.Equal(value, read);
    }

    [Theory]
    [InlineData("yes")]
    [InlineData("1")]
    [InlineData("")]
    public void What_is_no_switch_is_refused(string text) => Assert.False(Units.TryBoolean(text, out _));

    [Theory]
    [InlineData("1", 1)]
    [InlineData("65535", 65535)]
    [InlineData("0", 0)]
    [InlineData("65536", 0)]
    [InlineData("03000", 0)]
    [InlineData("131000", 0)]
    [InlineData("", 0)]
    [InlineData("-1", 0)]
    [InlineData("+1", 0)]
    [InlineData(" 1", 0)]
    [InlineData("１", 0)]
    public void Ports_are_read_without_leading_zeros(string text, int port)
    {
        Assert.Equal(port != 0, Units.TryPort(text, out int read));
        Assert.Equal(port, read);
    }
}
