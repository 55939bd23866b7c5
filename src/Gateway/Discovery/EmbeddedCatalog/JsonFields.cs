using System.Globalization;
using System.Text.Json;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// Reads a JSON object as Consul does: names without case and with or without underscores (<c>ServiceID</c>, <c>service_id</c>),
/// null is absent, an unknown name is an error. The first error stands in <see cref="Error"/> and names field, value and what
/// is allowed; its beginning is Consul's.
/// </summary>
internal sealed class JsonFields
{
    private readonly Dictionary<string, (string Name, JsonElement Value)> _fields = new(StringComparer.Ordinal);
    private readonly string _at;

    private JsonFields(string at) => _at = at;

    /// <summary>What is wrong, or null.</summary>
    public string? Error { get; private set; }

    /// <summary>Takes an object apart; anything else is an error.</summary>
    public static JsonFields Of(JsonElement element, string at = "")
    {
        JsonFields fields = new(at);
        if (element.ValueKind != JsonValueKind.Object)
        {
            fields.Fail($"json: {(at.Length == 0 ? "the body" : $"field '{at}'")} is {Describe(element)}; allowed is an object");
            return fields;
        }

        foreach (JsonProperty property in element.EnumerateObject())
        {
            fields._fields[Plain(property.Name)] = (property.Name, property.Value);
        }

        return fields;
    }

    /// <summary>Reports what nobody asked for as unknown.</summary>
    public void RefuseRest(string allowed)
    {
        if (_fields.Values.Select(f => f.Name).Order(StringComparer.Ordinal).FirstOrDefault() is { } unknown)
        {
            Fail($"json: unknown field \"{_at}{unknown}\"; allowed are {allowed}");
        }
    }

    /// <summary>Takes a field, whatever it holds; null when absent.</summary>
    public JsonElement? Take(string name) =>
        _fields.Remove(Plain(name), out (string Name, JsonElement Value) field) && field.Value.ValueKind != JsonValueKind.Null
            ? field.Value : null;

    public string Text(string name)
    {
        JsonElement? value = Take(name);
        return value is null ? "" : Text(value.Value, name);
    }

    public bool Flag(string name)
    {
        JsonElement? value = Take(name);
        if (value is { ValueKind: not (JsonValueKind.True or JsonValueKind.False) } wrong)
        {
            Wrong(name, wrong, "true or false");
            return false;
        }

        return value?.GetBoolean() ?? false;
    }

    public int Number(string name, int absent = 0)
    {
        JsonElement? value = Take(name);
        if (value is null)
        {
            return absent;
        }

        if (value.Value.ValueKind == JsonValueKind.Number && value.Value.TryGetInt32(out int number))
        {
            return number;
        }

        Wrong(name, value.Value, "a whole number");
        return absent;
    }

    /// <summary>A Go duration, or a number of nanoseconds.</summary>
    public TimeSpan Duration(string name)
    {
        JsonElement? value = Take(name);
        switch (value?.ValueKind)
        {
            case null:
                return default;
            case JsonValueKind.Number when value.Value.TryGetDouble(out double nanoseconds) && Math.Abs(nanoseconds) < 9.2e18:
                return new TimeSpan((long)Math.Ceiling(nanoseconds / 100));
            case JsonValueKind.String when GoDuration.TryParse(value.Value.GetString()!, out TimeSpan duration):
                return duration;
            case JsonValueKind.String:
                Fail($"time: invalid duration \"{value.Value.GetString()}\" in field '{_at}{name}'; "
                    + $"allowed is {GoDuration.Allowed}");
                return default;
            default:
                Wrong(name, value.Value, GoDuration.Allowed);
                return default;
        }
    }

    public List<string> Texts(string name)
    {
        List<string> texts = [];
        if (Take(name) is { } value)
        {
            if (value.ValueKind != JsonValueKind.Array)
            {
                Wrong(name, value, "a list of strings");
                return texts;
            }

            texts.AddRange(value.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.Null ? "" : Text(v, name)));
        }

        return texts;
    }

    /// <summary>The members of an object field, names verbatim, the last of equal ones.</summary>
    public IEnumerable<KeyValuePair<string, JsonElement>> Members(string name)
    {
        if (Take(name) is not { } value)
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Object)
        {
            Wrong(name, value, "an object");
            return [];
        }

        SortedDictionary<string, JsonElement> members = new(StringComparer.Ordinal);
        foreach (JsonProperty property in value.EnumerateObject())
        {
            members[property.Name] = property.Value;
        }

        return members;
    }

    public string Text(JsonElement value, string name)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            return value.GetString()!;
        }

        Wrong(name, value, "a string");
        return "";
    }

    public void Wrong(string name, JsonElement value, string allowed) =>
        Fail($"json: cannot unmarshal {Describe(value)} into field '{_at}{name}'; allowed is {allowed}");

    public void Fail(string error) => Error ??= error;

    private static string Plain(string name) =>
        name.Contains('_', StringComparison.Ordinal)
            ? name.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant()
            : name.ToLowerInvariant();

    private static string Describe(JsonElement value)
    {
        string raw = value.GetRawText();
        string shown = raw.Length <= 60 ? raw : $"{raw[..60]}…";
        return string.Create(CultureInfo.InvariantCulture, $"{value.ValueKind.ToString().ToLowerInvariant()} {shown}");
    }
}
