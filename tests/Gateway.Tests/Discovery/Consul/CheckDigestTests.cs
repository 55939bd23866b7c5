using System.Text;
using System.Text.Json;
using Gateway.Discovery.Consul;

namespace Gateway.Tests.Discovery.Consul;

public sealed class CheckDigestTests
{
    private static readonly (string Node, string Service, string Id, string Check, string Status)[] Some =
    [
        ("n1", "", "", "serfHealth", "passing"),
        ("n2", "", "", "serfHealth", "passing"),
        ("n1", "web", "web-1", "service:web-1", "passing"),
        ("n2", "web", "web-1", "service:web-1", "passing"),
        ("n2", "api", "api-1", "service:api-1", "warning"),
    ];

    [Fact]
    public void Order_of_checks_and_fields_and_unknown_fields_do_not_matter()
    {
        CheckDigest one = Read(Some);
        CheckDigest other = CheckDigest.Read(Encoding.UTF8.GetBytes("[" + string.Join(",", Some.Reverse().Select(c =>
            $$"""{"Definition":{"a":[{}]},"Status":"{{c.Status}}","ServiceName":"{{c.Service}}","CheckID":"{{c.Check}}","ServiceID":"{{c.Id}}","Node":"{{c.Node}}","Output":"x"}""")) + "]"));

        Assert.Empty(one.ServicesChangedSince(other));
        Assert.Empty(one.NodesChangedSince(other));
    }

    [Fact]
    public void Changed_new_and_vanished_services_and_nodes_are_told_apart()
    {
        CheckDigest before = Read(Some);

        Assert.Equal(["web"], Read([.. Some[..3], Some[3] with { Status = "critical" }, Some[4]]).ServicesChangedSince(before));
        Assert.Equal(["web"], Read([.. Some[..3], Some[4]]).ServicesChangedSince(before));
        Assert.Equal(["api"], Read(Some[..4]).ServicesChangedSince(before));
        Assert.Equal(["new"], Read([.. Some, ("n1", "new", "x", "c", "passing")]).ServicesChangedSince(before));
        Assert.Equal(["n2"], Read([Some[0], .. Some[2..]]).NodesChangedSince(before));
        Assert.Equal(["n1"], Read([.. Some, ("n1", "", "", "_node_maintenance", "critical")]).NodesChangedSince(before));
        Assert.Empty(Read([.. Some, ("n1", "", "", "_node_maintenance", "critical")]).ServicesChangedSince(before));
    }

    [Fact]
    public void Statuses_that_change_places_are_a_change()
    {
        CheckDigest before = Read([("n1", "web", "a", "c", "passing"), ("n1", "web", "b", "c", "critical")]);
        CheckDigest swapped = Read([("n1", "web", "a", "c", "critical"), ("n1", "web", "b", "c", "passing")]);

        Assert.Equal(["web"], swapped.ServicesChangedSince(before));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[[]]")]
    [InlineData("[{}]")]
    [InlineData("[{\"Node\":1}]")]
    [InlineData("[{\"Node\":\"n\"}]")]
    [InlineData("[{\"Node\":\"n\",\"Status\":\"passing\"}")]
    [InlineData("[] []")]
    [InlineData("\"x\"")]
    public void Anything_else_is_not_an_answer(string json) =>
        Assert.ThrowsAny<JsonException>(() => CheckDigest.Read(Encoding.UTF8.GetBytes(json)));

    private static CheckDigest Read((string Node, string Service, string Id, string Check, string Status)[] checks) =>
        CheckDigest.Read(JsonSerializer.SerializeToUtf8Bytes(checks.Select(c =>
            new { c.Node, CheckID = c.Check, c.Status, ServiceID = c.Id, ServiceName = c.Service })));
}
