using System.Text.Json;

namespace Gateway.Discovery.Consul;

/// <summary>
/// What <c>/v1/health/state/any</c> says, as one number per service and one per node: equal numbers, nothing changed. The
/// answer is megabytes and comes whole for every flip, so it is read in one pass and not kept.
/// </summary>
internal sealed class CheckDigest
{
    private readonly Dictionary<string, ulong> _services = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ulong> _nodes = new(StringComparer.Ordinal);

    /// <summary>Reads the answer.</summary>
    /// <exception cref="JsonException">It is not a list of checks.</exception>
    public static CheckDigest Read(ReadOnlySpan<byte> json)
    {
        CheckDigest digest = new();
        Utf8JsonReader reader = new(json);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            throw new JsonException("not a list");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
        {
            digest.Add(ref reader);
        }

        if (reader.TokenType != JsonTokenType.EndArray || reader.Read())
        {
            throw new JsonException("not a list of checks");
        }

        return digest;
    }

    /// <summary>Services whose own checks are others than before.</summary>
    public IEnumerable<string> ServicesChangedSince(CheckDigest before) => Changed(before._services, _services);

    /// <summary>Nodes whose node checks (serfHealth, maintenance) are others than before; they count for all their instances.</summary>
    public IEnumerable<string> NodesChangedSince(CheckDigest before) => Changed(before._nodes, _nodes);

    private static IEnumerable<string> Changed(Dictionary<string, ulong> before, Dictionary<string, ulong> now)
    {
        foreach ((string key, ulong value) in now)
        {
            if (!before.TryGetValue(key, out ulong old) || old != value)
            {
                yield return key;
            }
        }

        foreach (string key in before.Keys)
        {
            if (!now.ContainsKey(key))
            {
                yield return key;
            }
        }
    }

    private void Add(ref Utf8JsonReader reader)
    {
        // Fields are hashed each on its own and then together, so their order in the object does not matter.
        ulong node = 0, serviceId = 0, checkId = 0, status = 0;
        string nodeName = "", serviceName = "";
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("Node"u8))
            {
                node = Value(ref reader);
                nodeName = reader.GetString() ?? "";
            }
            else if (reader.ValueTextEquals("ServiceID"u8))
            {
                serviceId = Value(ref reader);
            }
            else if (reader.ValueTextEquals("CheckID"u8))
            {
                checkId = Value(ref reader);
            }
            else if (reader.ValueTextEquals("Status"u8))
            {
                status = Value(ref reader);
            }
            else if (reader.ValueTextEquals("ServiceName"u8))
            {
                Value(ref reader);
                serviceName = reader.GetString() ?? "";
            }
            else
            {
                reader.Skip();
            }
        }

        if (nodeName.Length == 0 || status == 0)
        {
            throw new JsonException("an entry is not a check");
        }

        // A sum, so the order of the checks does not matter either.
        ulong check = Mix(Mix(Mix(Mix(node) + serviceId) + checkId) + status);
        (Dictionary<string, ulong> sums, string key) = serviceName.Length == 0 ? (_nodes, nodeName) : (_services, serviceName);
        sums[key] = sums.GetValueOrDefault(key) + check;
    }

    private static ulong Value(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Null))
        {
            throw new JsonException("a field of a check is not text");
        }

        // FNV-1a.
        ulong hash = 14695981039346656037;
        foreach (byte b in reader.ValueSpan)
        {
            hash = (hash ^ b) * 1099511628211;
        }

        return hash;
    }

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }
}
