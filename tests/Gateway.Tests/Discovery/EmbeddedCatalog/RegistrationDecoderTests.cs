using System.Text;
using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Tests.Discovery.EmbeddedCatalog;

public sealed class RegistrationDecoderTests
{
    [Theory]
    [InlineData("10s", 10_000)]
    [InlineData("1m30s", 90_000)]
    [InlineData("1.5h", 5_400_000)]
    [InlineData("250ms", 250)]
    [InlineData("0", 0)]
    [InlineData("-5s", -5_000)]
    [InlineData("", null)]
    [InlineData("5", null)]
    [InlineData("s", null)]
    [InlineData("5 s", null)]
    [InlineData("5d", null)]
    [InlineData("99999999999999h", null)]
    public void Durations_are_read_as_go_reads_them(string text, int? milliseconds)
    {
        bool read = GoDuration.TryParse(text, out TimeSpan duration);
        Assert.Equal(milliseconds is not null, read);
        Assert.Equal(milliseconds ?? 0, duration.TotalMilliseconds);
    }

    [Theory]
    [InlineData("""{"Name":"a","Check":{"GRPC":"127.0.0.1:1","Interval":"1s"}}""", "not built yet")]
    [InlineData("""{"Name":"a","Check":{"AliasService":"b"}}""", "not built yet")]
    [InlineData("""{"Name":"a","Kind":"connect-proxy"}""", "not built yet")]
    [InlineData("""{"Name":"a","Connect":{"Native":true}}""", "not built yet")]
    public void What_is_not_built_yet_is_refused_and_says_so(string body, string text)
    {
        (_, Refusal? refusal) = RegistrationDecoder.Service(Encoding.UTF8.GetBytes(body));
        Assert.Equal(400, refusal!.Status);
        Assert.Contains(text, refusal.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"Name":"a","Port":"80"}""", "field 'Port'", "\"80\"", "a whole number")]
    [InlineData("""{"Name":"a","Checks":[{"TTL":"1s"},{"TTL":"x"}]}""", "'Checks[1].TTL'", "\"x\"", "1m30s")]
    [InlineData("""{"Name":"a","Chek":{}}""", "\"Chek\"", "unknown", "Check, Checks")]
    [InlineData("""{"Name":"a","Weights":{"Passing":true}}""", "'Weights.Passing'", "true", "a whole number")]
    public void An_error_names_place_value_and_what_is_allowed(string body, params string[] parts)
    {
        (_, Refusal? refusal) = RegistrationDecoder.Service(Encoding.UTF8.GetBytes(body));
        Assert.All(parts, part => Assert.Contains(part, refusal!.Text, StringComparison.Ordinal));
    }

    [Fact]
    public void Any_bytes_give_a_registration_or_a_refusal()
    {
        Random random = new(7);
        byte[] seed = """{"ID":"x","Name":"y","Port":1,"Tags":["a",null],"Meta":{"a":"b"},"Checks":[{"TTL":"1s","Header":{"a":["b"]}}],"Weights":{"Passing":2}}"""u8.ToArray();
        for (int i = 0; i < 4_000; i++)
        {
            byte[] body = [.. seed];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                body[random.Next(body.Length)] = (byte)random.Next(256);
            }

            (ServiceRegistration? registration, Refusal? refusal) = RegistrationDecoder.Service(body.AsMemory(0, random.Next(body.Length + 1)));
            Assert.True(registration is null != refusal is null);
            _ = RegistrationDecoder.Check(body);
            _ = RegistrationDecoder.Update(body);
        }
    }

    [Theory]
    [InlineData("ServiceTags == a")]
    [InlineData("(ServiceID == a")]
    [InlineData("ServiceID == \"a")]
    [InlineData("not")]
    [InlineData("ServiceID matches \"(\"")]
    [InlineData("a in")]
    [InlineData("ServiceID == a b")]
    public void A_bad_filter_is_an_error_and_no_exception(string text)
    {
        Assert.Null(FilterExpression.Parse(text, FilterSelectors.OfCheck, out string? error));
        Assert.StartsWith("Failed to create boolean expression evaluator: ", error, StringComparison.Ordinal);
        Assert.Null(FilterExpression.Parse(new string('(', 100_000), FilterSelectors.OfCheck, out _));
        Assert.Null(FilterExpression.Parse(string.Concat(Enumerable.Repeat("not ", 100_000)), FilterSelectors.OfCheck, out _));
    }
}
