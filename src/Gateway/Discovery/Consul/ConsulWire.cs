using System.Text.Json.Serialization;

namespace Gateway.Discovery.Consul;

// Consul's JSON, only the fields that are used. Tags and Meta may be null. Numbers are long: Consul takes any port, and one
// absurd registration must not make its neighbours unreadable.

internal sealed record WireEntry(WireNode? Node, WireService? Service, List<WireCheck?>? Checks);

internal sealed record WireNode(string? Node, string? Address);

internal sealed record WireService(
    [property: JsonPropertyName("ID")] string? Id,
    string? Service,
    List<string?>? Tags,
    string? Address,
    Dictionary<string, string?>? Meta,
    long Port,
    WireWeights? Weights,
    ulong CreateIndex,
    ulong ModifyIndex);

internal sealed record WireWeights(long Passing, long Warning);

internal sealed record WireCheck(
    [property: JsonPropertyName("CheckID")] string? CheckId,
    string? Status,
    [property: JsonPropertyName("ServiceID")] string? ServiceId);

internal sealed record WireVerdict(WireNode? Node, WireService? Service, List<WireWords?>? Checks);

internal sealed record WireWords(
    [property: JsonPropertyName("CheckID")] string? CheckId,
    string? Name,
    string? Status,
    string? Output,
    string? Notes,
    [property: JsonPropertyName("ServiceID")] string? ServiceId);

internal sealed record WireSummary(string? Name, List<string?>? Nodes, long InstanceCount);

internal sealed record WireSelf(WireSelfConfig? Config, WireSelfMember? Member);

internal sealed record WireSelfConfig(bool Gateway, string? AdvertiseAddr, string? NodeName, string? Version);

internal sealed record WireSelfMember(string? Addr);

internal sealed record WireKey(string? Key, byte[]? Value);

[JsonSourceGenerationOptions(PropertyNameCaseInsensitive = false)]
[JsonSerializable(typeof(Dictionary<string, List<string>>))]
[JsonSerializable(typeof(List<WireEntry>))]
[JsonSerializable(typeof(List<WireSummary>))]
[JsonSerializable(typeof(List<WireVerdict>))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(WireSelf))]
[JsonSerializable(typeof(List<WireKey>))]
internal sealed partial class ConsulJson : JsonSerializerContext;
