using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>Why a request is refused: an HTTP status and a text whose beginning is Consul's.</summary>
internal sealed record Refusal(int Status, string Text);

/// <summary>
/// From the body of a registration to validated records, by the rules of Consul 1.8's agent: what it refuses is refused with its
/// status and the beginning of its text, what it accepts is accepted (a port of 70000 too: the planner reports that).
/// </summary>
internal static partial class RegistrationDecoder
{
    private const string ServiceFields =
        "ID, Name, Tags, Address, TaggedAddresses, Port, Meta, Weights, EnableTagOverride, Check, Checks, Token, Kind, Namespace";

    private const string CheckFields =
        "Name, Notes, Status, TTL, HTTP, Header, Method, Body, TLSSkipVerify, TCP, Interval, Timeout, "
        + "DeregisterCriticalServiceAfter";

    /// <summary>A registration's service and checks, or why not.</summary>
    public static (ServiceRegistration? Registration, Refusal? Refusal) Service(ReadOnlyMemory<byte> body)
    {
        using JsonDocument? document = Parse(body, out string? broken);
        if (document is null)
        {
            return (null, Undecodable(broken!));
        }

        // 1. Shape: names and types.
        JsonFields fields = JsonFields.Of(document.RootElement);
        string id = fields.Text("ID");
        string name = fields.Text("Name");
        string address = fields.Text("Address");
        int port = fields.Number("Port");
        List<string> tags = fields.Texts("Tags");
        List<MetaEntry> meta = [.. fields.Members("Meta")
            .Select(m => new MetaEntry(m.Key, fields.Text(m.Value, $"Meta.{m.Key}")))];
        List<NamedAddress> tagged = [];
        foreach ((string key, JsonElement value) in fields.Members("TaggedAddresses"))
        {
            JsonFields of = JsonFields.Of(value, $"TaggedAddresses.{key}.");
            tagged.Add(new NamedAddress(key, of.Text("Address"), of.Number("Port")));
            of.RefuseRest("Address, Port");
            Adopt(fields, of);
        }

        int passing = 1;
        int warning = 1;
        if (fields.Take("Weights") is { } weights)
        {
            // Consul: a weight left out of a Weights block is 0, not 1.
            JsonFields of = JsonFields.Of(weights, "Weights.");
            passing = of.Number("Passing");
            warning = of.Number("Warning");
            of.RefuseRest("Passing, Warning");
            Adopt(fields, of);
        }

        bool tagOverride = fields.Flag("EnableTagOverride");
        List<Draft> drafts = [];
        if (fields.Take("Check") is { } single)
        {
            Draft draft = ReadCheck(JsonFields.Of(single, "Check."), fields, registered: false);
            if (!draft.Empty)
            {
                drafts.Add(draft);
            }
        }

        if (fields.Take("Checks") is { } several)
        {
            if (several.ValueKind != JsonValueKind.Array)
            {
                fields.Wrong("Checks", several, "a list of checks");
            }
            else
            {
                int i = 0;
                foreach (JsonElement check in several.EnumerateArray())
                {
                    drafts.Add(ReadCheck(JsonFields.Of(check, $"Checks[{i++}]."), fields, registered: false));
                }
            }
        }

        string kind = fields.Text("Kind");
        _ = fields.Text("Token");
        _ = fields.Text("Namespace");
        bool mesh = IsFilled(fields.Take("Connect")) | IsFilled(fields.Take("Proxy"));
        fields.RefuseRest(ServiceFields);
        if (fields.Error is not null)
        {
            return (null, Undecodable(fields.Error));
        }

        // 2. Values.
        if (name.Length == 0)
        {
            return (null, new Refusal(400, "Missing service name: field 'Name' is empty; allowed is any other text"));
        }

        if (kind.Length > 0 || mesh)
        {
            return (null, new Refusal(400, "Service mesh is not built yet: fields 'Kind', 'Connect' and 'Proxy' must be empty"));
        }

        if (address is "0.0.0.0" or "::" or "[::]")
        {
            return (null, new Refusal(
                400,
                $"Invalid service address: field 'Address' is '{address}'; allowed is an address that clients can connect to"));
        }

        if ((Weights(passing, warning) ?? Meta(meta)) is { } wrong)
        {
            return (null, new Refusal(400, wrong));
        }

        // 3. Checks take their ids and names from the service.
        string serviceId = id.Length > 0 ? id : name;
        List<CheckRegistration> checks = [];
        for (int i = 0; i < drafts.Count; i++)
        {
            Draft draft = drafts[i];
            if (draft.Refuse(inService: true) is { } refusal)
            {
                return (null, refusal);
            }

            string checkId = draft.CheckId.Length > 0 ? draft.CheckId
                : drafts.Count == 1 ? $"service:{serviceId}" : $"service:{serviceId}:{i + 1}";
            checks.Add(draft.Register(checkId, draft.Name.Length > 0 ? draft.Name : $"Service '{name}' check", serviceId));
        }

        AddOwnAddresses(tagged, address, port);
        ServiceRecord service = new()
        {
            Id = serviceId,
            Name = name,
            Address = address,
            Port = port,
            Tags = tags.ToEquatableArray(),
            Meta = meta.ToEquatableArray(),
            TaggedAddresses = tagged.OrderBy(t => t.Name, StringComparer.Ordinal).ToEquatableArray(),
            WeightPassing = passing,
            WeightWarning = warning,
            EnableTagOverride = tagOverride,
        };
        return (new ServiceRegistration(service, checks.ToEquatableArray()), null);
    }

    /// <summary>A check registered by itself, or why not.</summary>
    public static (CheckRegistration? Check, Refusal? Refusal) Check(ReadOnlyMemory<byte> body)
    {
        using JsonDocument? document = Parse(body, out string? broken);
        if (document is null)
        {
            return (null, Undecodable(broken!));
        }

        JsonFields fields = JsonFields.Of(document.RootElement);
        string serviceId = fields.Text("ServiceID");
        _ = fields.Text("Token");
        _ = fields.Text("Namespace");
        Draft draft = ReadCheck(fields, fields, registered: true);
        if (fields.Error is not null)
        {
            return (null, Undecodable(fields.Error));
        }

        if (draft.Name.Length == 0)
        {
            return (null, new Refusal(400, "Missing check name: field 'Name' is empty; allowed is any other text"));
        }

        if (draft.Refuse(inService: false) is { } refusal)
        {
            return (null, refusal);
        }

        return (draft.Register(draft.CheckId.Length > 0 ? draft.CheckId : draft.Name, draft.Name, serviceId), null);
    }

    /// <summary>The body of <c>check/update</c>: status and output, or why not.</summary>
    public static (CheckStatus Status, string Output, Refusal? Refusal) Update(ReadOnlyMemory<byte> body)
    {
        using JsonDocument? document = Parse(body, out string? broken);
        if (document is null)
        {
            return (default, "", Undecodable(broken!));
        }

        JsonFields fields = JsonFields.Of(document.RootElement);
        string status = fields.Text("Status");
        string output = fields.Text("Output");
        fields.RefuseRest("Status, Output");
        return fields.Error is not null ? (default, "", Undecodable(fields.Error))
            : Status(status) is { } known ? (known, output, null)
            : (default, "", new Refusal(400, $"Invalid check status: '{status}'; allowed are passing, warning, critical"));
    }

    private static Refusal Undecodable(string what) => new(400, $"Request decode failed: {what}");

    private static JsonDocument? Parse(ReadOnlyMemory<byte> body, out string? broken)
    {
        broken = null;
        if (body.Span.IndexOfAnyExcept(" \t\r\n"u8) < 0)
        {
            broken = "EOF: the body is empty; allowed is a JSON object";
            return null;
        }

        // Some clients send Latin-1; Consul takes such bytes as U+FFFD.
        if (!System.Text.Unicode.Utf8.IsValid(body.Span))
        {
            body = System.Text.Encoding.UTF8.GetBytes(System.Text.Encoding.UTF8.GetString(body.Span));
        }

        try
        {
            // As Go's decoder: the first value counts, what follows it is not looked at.
            Utf8JsonReader reader = new(body.Span);
            return JsonDocument.ParseValue(ref reader);
        }
        catch (JsonException failure)
        {
            broken = $"json: {failure.Message}";
            return null;
        }
    }

    private static bool IsFilled(JsonElement? element) =>
        element is { } value && !(value.ValueKind == JsonValueKind.Object && !value.EnumerateObject().Any());

    private static void Adopt(JsonFields outer, JsonFields inner)
    {
        if (inner.Error is not null)
        {
            outer.Fail(inner.Error);
        }
    }

    private static CheckStatus? Status(string text) => text switch
    {
        "passing" => CheckStatus.Passing,
        "warning" => CheckStatus.Warning,
        "critical" => CheckStatus.Critical,
        _ => null,
    };

    private static string? Weights(int passing, int warning) =>
        passing < 1 ? $"Invalid Weights: Passing must be greater than 0, it is {passing}"
        : warning < 0 ? $"Invalid Weights: Warning must be greater or equal than 0, it is {warning}"
        : Math.Max(passing, warning) > 65535
            ? $"Invalid Weights: DNS Weight must be between 0 and 65535, it is {Math.Max(passing, warning)}"
        : null;

    private static string? Meta(List<MetaEntry> meta)
    {
        if (meta.Count > 64)
        {
            return $"Invalid Service Meta: Node metadata cannot contain more than 64 key/value pairs, it has {meta.Count}";
        }

        foreach ((string key, string value) in meta)
        {
            string? wrong =
                key.Length == 0 ? "Key cannot be blank"
                : key.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_'))
                    ? "Key contains invalid characters; allowed are A-Z a-z 0-9 - _"
                : key.Length > 128 ? "Key is too long (limit: 128 characters)"
                : key.StartsWith("consul-", StringComparison.Ordinal) ? "Key prefix 'consul-' is reserved for internal use"
                : value.Length > 512 ? "Value is too long (limit: 512 characters)"
                : null;
            if (wrong is not null)
            {
                return $"Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {wrong}";
            }
        }

        return null;
    }

    /// <summary>Consul: an IP address is also the tagged address of its family, unless the registration says otherwise.</summary>
    private static void AddOwnAddresses(List<NamedAddress> tagged, string address, int port)
    {
        if (!IPAddress.TryParse(address, out IPAddress? ip) || address.AsSpan().ContainsAny(" []%"))
        {
            return;
        }

        string family = ip.AddressFamily == AddressFamily.InterNetwork ? "ipv4" : "ipv6";
        foreach (string name in (ReadOnlySpan<string>)[$"lan_{family}", $"wan_{family}"])
        {
            if (!tagged.Exists(t => t.Name == name))
            {
                tagged.Add(new NamedAddress(name, address, port));
            }
        }
    }

    private static Draft ReadCheck(JsonFields fields, JsonFields errors, bool registered)
    {
        // Consul: a check of its own is named by ID, one inside a service by CheckID.
        Draft draft = new()
        {
            CheckId = fields.Text(registered ? "ID" : "CheckID"),
            Name = fields.Text("Name"),
            Notes = fields.Text("Notes"),
            Status = fields.Text("Status"),
            Ttl = fields.Duration("TTL"),
            Interval = fields.Duration("Interval"),
            Timeout = fields.Duration("Timeout"),
            DeregisterAfter = fields.Duration("DeregisterCriticalServiceAfter"),
            Http = fields.Text("HTTP"),
            Tcp = fields.Text("TCP"),
            Method = fields.Text("Method"),
            Body = fields.Text("Body"),
            TlsSkipVerify = fields.Flag("TLSSkipVerify"),
            Grpc = fields.Text("GRPC"),
            Alias = fields.Text("AliasService").Length + fields.Text("AliasNode").Length > 0,
            Script = fields.Texts("Args").Count + fields.Texts("ScriptArgs").Count > 0,
        };
        foreach ((string name, JsonElement values) in fields.Members("Header"))
        {
            if (values.ValueKind != JsonValueKind.Array)
            {
                fields.Wrong($"Header.{name}", values, "a list of strings");
                continue;
            }

            draft.Headers.AddRange(values.EnumerateArray().Select(v => new MetaEntry(name, fields.Text(v, $"Header.{name}"))));
        }

        _ = fields.Flag("GRPCUseTLS");
        _ = fields.Text("DockerContainerID");
        _ = fields.Text("Shell");
        _ = fields.Number("OutputMaxSize");
        _ = fields.Number("SuccessBeforePassing");
        _ = fields.Number("FailuresBeforeCritical");
        fields.RefuseRest(registered ? $"ID, ServiceID, Token, {CheckFields}" : $"CheckID, {CheckFields}");
        Adopt(errors, fields);
        return draft;
    }
}
