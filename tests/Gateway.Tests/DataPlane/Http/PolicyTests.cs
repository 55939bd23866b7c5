using System.Text;
using System.Text.Json;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.KestrelLane;

namespace Gateway.Tests.DataPlane.Http;

public sealed class RetryRuleTests
{
    private static readonly AttemptFailure Unsent = new(Reason.ConnectFailed, true);
    private static readonly AttemptFailure Reset = new(Reason.InstanceReset, false);

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public void An_unsent_request_has_three_attempts_whatever_it_is(int attempts, bool again)
    {
        bool charged = false;
        Assert.Equal(again, RetryRule.MayRetry(Unsent, attempts, "POST", true, new RetryBudget(), ref charged));
        Assert.False(charged);
    }

    [Theory]
    [InlineData("GET", false, true)]
    [InlineData("HEAD", false, true)]
    [InlineData("DELETE", false, true)]
    [InlineData("PUT", true, false)]
    [InlineData("POST", false, false)]
    [InlineData("PATCH", false, false)]
    [InlineData("get", false, false)]
    public void A_sent_one_is_repeated_only_where_that_is_harmless(string method, bool body, bool again)
    {
        bool charged = false;
        Assert.Equal(again, RetryRule.MayRetry(Reset, 1, method, body, new RetryBudget(), ref charged));
        Assert.Equal(again, charged);
    }

    [Fact]
    public void A_timeout_or_garbage_is_not_repeated()
    {
        bool charged = false;
        Assert.False(RetryRule.MayRetry(new(Reason.TimeoutResponse, false), 1, "GET", false, new RetryBudget(), ref charged));
        Assert.False(RetryRule.MayRetry(new(Reason.BadResponse, false), 1, "GET", false, new RetryBudget(), ref charged));
    }

    [Theory]
    [InlineData(0, 3)]
    [InlineData(15, 3)]
    [InlineData(20, 4)]
    [InlineData(100, 20)]
    public void The_budget_is_a_fifth_of_what_is_in_flight_and_at_least_three(int inFlight, int retries)
    {
        RetryBudget budget = new();
        for (int i = 0; i < inFlight; i++)
        {
            budget.Begin();
        }

        int taken = 0;
        while (budget.TryTake())
        {
            taken++;
        }

        Assert.Equal(retries, taken);
        budget.Begin();
        budget.End(charged: true);
        Assert.True(budget.TryTake());
        Assert.False(budget.TryTake());
    }

    [Fact]
    public void A_request_pays_once()
    {
        RetryBudget budget = new();
        bool charged = false;
        Assert.True(RetryRule.MayRetry(Reset, 1, "GET", false, budget, ref charged));
        Assert.True(RetryRule.MayRetry(Reset, 2, "GET", false, budget, ref charged));
        Assert.True(budget.TryTake());
        Assert.True(budget.TryTake());
        Assert.False(budget.TryTake());
    }
}

public sealed class FailureBodyTests
{
    [Theory]
    [InlineData(null, null, nameof(FailureLanguage.Json))]
    [InlineData(null, "", nameof(FailureLanguage.Json))]
    [InlineData(null, "*/*", nameof(FailureLanguage.Json))]
    [InlineData(null, "text/html,application/json", nameof(FailureLanguage.Html))]
    [InlineData(null, "application/problem+json, text/html", nameof(FailureLanguage.Json))]
    [InlineData(null, "image/png, TEXT/HTML;q=0.5", nameof(FailureLanguage.Html))]
    [InlineData(null, "text/*", nameof(FailureLanguage.Text))]
    [InlineData("application/grpc", "text/html", nameof(FailureLanguage.Grpc))]
    [InlineData("application/grpc+proto", null, nameof(FailureLanguage.Grpc))]
    [InlineData("application/grpc-web", null, nameof(FailureLanguage.Json))]
    public void A_client_is_answered_in_its_language(string? contentType, string? accept, string language) =>
        Assert.Equal(language, FailureBody.Choose(contentType, accept).ToString());

    [Fact]
    public void Every_reason_renders_without_anything_to_escape()
    {
        Reason[] all =
        [
            Reason.NoRoute, Reason.BadRequest, Reason.NoInstance, Reason.ConnectFailed, Reason.Overloaded, Reason.TimeoutConnect,
            Reason.TimeoutResponse, Reason.InstanceReset, Reason.BadResponse, Reason.Loop, Reason.ClientClosed,
            Reason.Refused(408), Reason.Refused(413), Reason.Refused(421), Reason.Refused(431),
        ];
        foreach (Reason reason in all)
        {
            Assert.Matches("^[a-z-]+$", reason.Code);
            Assert.Matches("^[A-Za-z0-9 .,:;'/-]+$", reason.Text);
            using JsonDocument json = JsonDocument.Parse(FailureBody.Render(FailureLanguage.Json, reason, "0a"));
            Assert.Equal(reason.Code, json.RootElement.GetProperty("reason").GetString());
            Assert.Equal(reason.Status, json.RootElement.GetProperty("status").GetInt32());
            Assert.Contains(reason.Text, Encoding.UTF8.GetString(FailureBody.Render(FailureLanguage.Html, reason, "0a")), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(400, 400)]
    [InlineData(405, 400)]
    [InlineData(408, 408)]
    [InlineData(414, 431)]
    [InlineData(431, 431)]
    [InlineData(505, 400)]
    public void Refusals_have_the_statuses_of_bad_request(int parser, int status) =>
        Assert.Equal((status, "bad-request"), (Reason.Refused(parser).Status, Reason.Refused(parser).Code));
}

public sealed class RequestTargetTests
{
    [Theory]
    [InlineData("/", "/")]
    [InlineData("/a%2Fb//c/../d?x=%20", "/a%2Fb//c/../d?x=%20")]
    [InlineData("//evil/x", "//evil/x")]
    [InlineData("http://a.example/x?y", "/x?y")]
    [InlineData("https://a.example", "/")]
    [InlineData("http://a.example?y", "/?y")]
    [InlineData("http://a.example:80/http://b/", "/http://b/")]
    [InlineData("/http://b/", "/http://b/")]
    public void Path_and_query_are_taken_untouched(string target, string expected)
    {
        Assert.True(RequestTarget.TryPathAndQuery(target, out string pathAndQuery));
        Assert.Equal(expected, pathAndQuery);
    }

    [Theory]
    [InlineData("*")]
    [InlineData("")]
    [InlineData("a.example:443")]
    [InlineData("://x")]
    public void Other_forms_name_no_path(string target) => Assert.False(RequestTarget.TryPathAndQuery(target, out _));
}

public sealed class ConnectionHeaderTests
{
    [Theory]
    [InlineData("keep-alive", "keep-alive")]
    [InlineData("Keep-Alive", "keep-alive")]
    [InlineData("close", "close")]
    [InlineData("Upgrade", "Upgrade")]
    [InlineData("keep-alive, Upgrade", "keep-alive, Upgrade")]
    [InlineData("keep-alive, TE", "keep-alive, TE")]
    [InlineData("keep-alive, X-Secret", "keep-alive, X-Secret, close, keep-alive")]
    [InlineData("X-Secret", "X-Secret, close, keep-alive")]
    [InlineData("Upgrade, X-Secret", "Upgrade, X-Secret, keep-alive")]
    [InlineData("", "")]
    public void Names_survive_Kestrel(string line, string seen)
    {
        Assert.Equal(seen, ConnectionHeader.Decode(Encoding.Latin1.GetBytes(line)));
        Assert.Equal(seen, ConnectionHeader.Instance.GetString(Encoding.Latin1.GetBytes(line).AsSpan()));
    }
}
