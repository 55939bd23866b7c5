using System.Globalization;
using System.Text;
using Gateway.Catalog;
using YamlDotNet.Core;

namespace Gateway.Discovery.FileCatalogs;

/// <summary>What a catalog file holds.</summary>
/// <param name="Instances">The entries that are good.</param>
/// <param name="Problems">What is wrong with the others; place is <c>file:line:column</c>.</param>
/// <param name="Broken">Whether the file as a whole cannot be read, so that what it held before stands.</param>
internal sealed record CatalogFileContent(EquatableArray<Instance> Instances, EquatableArray<Problem> Problems, bool Broken);

/// <summary>
/// A catalog as a file: <c>services:</c>, a list of Consul registrations in YAML (or JSON, which is YAML). Text in, instances and
/// problems out; a snapshot in, text out. Invariant: what <see cref="Write"/> writes, <see cref="Read"/> reads back equal.
/// </summary>
internal static class CatalogFile
{
    /// <summary>Node of entries that name none.</summary>
    public const string DefaultNode = "file";

    private const string WrongType = ProblemCodes.CatalogFileType;
    private const string EntryOut = "the entry is left out, its neighbours stand";

    // Name as shown, and what reads it. Keys are compared without case and underscores, as Consul does.
    private static readonly string[] EntryKeys =
        ["id", "name", "node", "address", "port", "tags", "meta", "weights", "health", "createIndex", "check", "checks"];

    // In Consul's registrations and dumps, without meaning here.
    private static readonly HashSet<string> Silent = new(StringComparer.Ordinal)
    {
        "service", "enabletagoverride", "taggedaddresses", "contenthash", "datacenter", "modifyindex", "namespace", "token",
        "kind", "proxy", "connect",
    };

    private static readonly Dictionary<string, ReportedHealth> Healths = Enum.GetValues<ReportedHealth>()
        .ToDictionary(h => h.ToString().ToLowerInvariant(), StringComparer.Ordinal);

    /// <summary>Reads a catalog. Never throws for what the text holds.</summary>
    /// <param name="text">The file's content.</param>
    /// <param name="path">Its name, for the problems' places.</param>
    public static CatalogFileContent Read(string text, string path)
    {
        YamlTree? root;
        try
        {
            root = YamlTree.Parse(text);
        }
        catch (YamlException failure)
        {
            return Broken(path, failure.Start.Line, failure.Start.Column, ProblemCodes.CatalogFileSyntax, failure.Message, "YAML or JSON");
        }
        catch (Exception failure) when (failure is InvalidOperationException or ArgumentException or FormatException
            or NullReferenceException or IndexOutOfRangeException)
        {
            // Some broken texts trip YamlDotNet's scanner itself; it does not say where then.
            return Broken(path, 1, 1, ProblemCodes.CatalogFileSyntax, failure.Message, "YAML or JSON");
        }

        const string form = "a mapping with 'services:', a list of Consul registrations ([] for none)";
        if (root is null || !root.IsMap)
        {
            return Broken(path, root?.Line ?? 1, root?.Column ?? 1, WrongType, root?.Kind ?? "an empty file", form);
        }

        // 1. The top: 'services' and nothing else.
        List<Problem> problems = [];
        YamlTree? services = null;
        foreach ((YamlTree key, YamlTree value) in root.Members)
        {
            if (!key.IsText || Plain(key.Text) != "services")
            {
                problems.Add(Problem(path, key, ProblemCodes.CatalogFileKey, key.Kind, "services", "the key is ignored"));
            }
            else if (services is not null)
            {
                problems.Add(Problem(path, key, ProblemCodes.CatalogFileDuplicate, key.Text, "the key once", "the first one stands"));
            }
            else
            {
                services = value;
            }
        }

        if (services is not { IsList: true })
        {
            return Broken(
                path,
                services?.Line ?? root.Line,
                services?.Column ?? root.Column,
                WrongType,
                services?.Kind ?? "no 'services'",
                form);
        }

        // 2. The entries, each by itself.
        List<Instance> instances = [];
        Dictionary<InstanceKey, YamlTree> seen = [];
        foreach (YamlTree item in services.Items)
        {
            if (Entry(item, path, problems) is not { } instance)
            {
                continue;
            }

            if (seen.TryAdd(instance.Key, item))
            {
                instances.Add(instance);
            }
            else
            {
                problems.Add(Problem(
                    path, item, ProblemCodes.CatalogFileDuplicate, instance.Key.ToString(),
                    $"an id once per node (first in line {seen[instance.Key].Line})",
                    "the first entry stands, this one is left out"));
            }
        }

        return new CatalogFileContent(instances.ToEquatableArray(), problems.ToEquatableArray(), Broken: false);
    }

    /// <summary>Writes a catalog that <see cref="Read"/> reads back equal.</summary>
    public static string Write(CatalogSnapshot snapshot)
    {
        StringBuilder yaml = new();
        yaml.Append(snapshot.Services.Count == 0 ? "services: []\n" : "services:\n");
        foreach (Instance instance in snapshot.Services.Values.SelectMany(s => s.Instances))
        {
            yaml.Append("  - name: ").AppendLine(Quote(instance.Service));
            yaml.Append("    id: ").AppendLine(Quote(instance.ServiceId));
            yaml.Append("    node: ").AppendLine(Quote(instance.Node));
            yaml.Append("    address: ").AppendLine(Quote(instance.Address));
            yaml.Append(CultureInfo.InvariantCulture, $"    port: {instance.Port}\n");
            if (instance.Tags.Count > 0)
            {
                yaml.Append("    tags:\n");
                foreach (string tag in instance.Tags)
                {
                    yaml.Append("      - ").AppendLine(Quote(tag));
                }
            }

            if (instance.Meta.Count > 0)
            {
                yaml.Append("    meta:\n");
                foreach ((string key, string value) in instance.Meta)
                {
                    // '?' before the key: YAML takes a key without it only up to 1,024 characters.
                    yaml.Append("      ").Append(key.Length > 500 ? "? " : "").Append(Quote(key));
                    yaml.Append(key.Length > 500 ? "\n      : " : ": ").AppendLine(Quote(value));
                }
            }

            yaml.Append(
                CultureInfo.InvariantCulture,
                $"    weights: {{ passing: {instance.WeightPassing}, warning: {instance.WeightWarning} }}\n");
            yaml.Append(CultureInfo.InvariantCulture, $"    health: {instance.Health.ToString().ToLowerInvariant()}\n");
            if (instance.CreateIndex > 0)
            {
                yaml.Append(CultureInfo.InvariantCulture, $"    createIndex: {instance.CreateIndex}\n");
            }
        }

        return yaml.ToString();
    }

    private static Instance? Entry(YamlTree entry, string path, List<Problem> problems)
    {
        int before = problems.Count;
        if (!entry.IsMap)
        {
            problems.Add(Problem(path, entry, WrongType, entry.Kind, "a mapping: a Consul registration", EntryOut));
            return null;
        }

        // 1. Keys: known, once.
        Dictionary<string, YamlTree> fields = new(StringComparer.Ordinal);
        List<Problem> ignored = [];
        foreach ((YamlTree key, YamlTree value) in entry.Members)
        {
            string plain = key.IsText ? Plain(key.Text) : "";
            if (!Silent.Contains(plain) && !EntryKeys.Any(k => Plain(k) == plain))
            {
                problems.Add(Problem(
                    path, key, ProblemCodes.CatalogFileKey, key.Kind,
                    $"{NearestKey.Of(plain, EntryKeys)} (nearest); all: {string.Join(", ", EntryKeys)}", EntryOut));
            }
            else if (!fields.TryAdd(plain, value))
            {
                problems.Add(Problem(path, key, ProblemCodes.CatalogFileDuplicate, key.Text, "the key once", EntryOut));
            }
            else if (plain is "check" or "checks" && !value.IsNull)
            {
                ignored.Add(Problem(
                    path, key, ProblemCodes.CatalogFileCheck, key.Text,
                    "service checks where the service is configured (services: NAME: check)",
                    "the check is ignored: a file has no agent that would run it; the entry stands"));
            }
        }

        // 2. Values.
        string name = Text("name") is { Length: > 0 } own ? own : Text("service");
        string id = Text("id") is { Length: > 0 } given ? given : name;
        if (name.Length == 0 && problems.Count == before)
        {
            problems.Add(Problem(path, entry, ProblemCodes.CatalogFileMissing, null, "'name', the service's name", EntryOut));
        }

        if (!fields.ContainsKey("address"))
        {
            problems.Add(Problem(
                path, entry, ProblemCodes.CatalogFileMissing, null, "'address': a file has no node with one", EntryOut));
        }

        YamlTree? weights = Field("weights");
        Instance instance = new()
        {
            Service = name,
            ServiceId = id,
            Node = Text("node") is { Length: > 0 } node ? node : DefaultNode,
            Address = Text("address"),
            Port = (int)Number(Field("port"), 0, int.MinValue, int.MaxValue),
            Tags = Texts("tags"),
            Meta = Meta(),
            WeightPassing = Weight("passing"),
            WeightWarning = Weight("warning"),
            Health = Health(),
            CreateIndex = (ulong)Number(Field("createindex"), 0, 0, ulong.MaxValue),
        };
        bool good = problems.Count == before;
        problems.AddRange(ignored);
        return good ? instance : null;

        YamlTree? Field(string key) => fields.TryGetValue(key, out YamlTree? value) && !value.IsNull ? value : null;

        void Wrong(YamlTree at, string allowed) => problems.Add(Problem(path, at, WrongType, at.Kind, allowed, EntryOut));

        string Text(string key)
        {
            if (Field(key) is { } value)
            {
                if (value.IsText)
                {
                    return value.Text;
                }

                Wrong(value, $"a string as '{key}'");
            }

            return "";
        }

        decimal Number(YamlTree? value, decimal absent, decimal min, decimal max)
        {
            if (value is null)
            {
                return absent;
            }

            if (value is { IsText: true, Quoted: false }
                && decimal.TryParse(value.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out decimal number)
                && number >= min && number <= max)
            {
                return number;
            }

            Wrong(value, $"a whole number from {min} to {max}, not quoted");
            return absent;
        }

        EquatableArray<string> Texts(string key)
        {
            if (Field(key) is not { } list)
            {
                return [];
            }

            if (!list.IsList || list.Items.FirstOrDefault(i => !i.IsText) is not null)
            {
                Wrong(list.IsList ? list.Items.First(i => !i.IsText) : list, $"a list of strings as '{key}'");
                return [];
            }

            return list.Items.Select(i => i.Text).ToEquatableArray();
        }

        EquatableArray<MetaEntry> Meta()
        {
            if (Field("meta") is not { } map)
            {
                return [];
            }

            SortedDictionary<string, string> meta = new(StringComparer.Ordinal);
            if (!map.IsMap)
            {
                Wrong(map, "a mapping of strings as 'meta'");
                return [];
            }

            foreach ((YamlTree key, YamlTree value) in map.Members)
            {
                if (!key.IsText || !value.IsText)
                {
                    Wrong(key.IsText ? value : key, "a mapping of strings as 'meta'");
                }
                else if (!meta.TryAdd(key.Text, value.Text))
                {
                    problems.Add(Problem(path, key, ProblemCodes.CatalogFileDuplicate, key.Text, "the key once", EntryOut));
                }
            }

            return meta.Select(m => new MetaEntry(m.Key, m.Value)).ToEquatableArray();
        }

        int Weight(string which)
        {
            if (weights is null)
            {
                return 1;
            }

            if (!weights.IsMap)
            {
                if (which == "passing")
                {
                    Wrong(weights, "a mapping with passing and warning as 'weights'");
                }

                return 1;
            }

            // Consul: a weight left out of the block is 0, and passing may not be 0.
            foreach ((YamlTree key, YamlTree _) in weights.Members)
            {
                if (which == "passing" && (!key.IsText || Plain(key.Text) is not ("passing" or "warning")))
                {
                    problems.Add(Problem(path, key, ProblemCodes.CatalogFileKey, key.Kind, "passing, warning", EntryOut));
                }
            }

            YamlTree? value = weights.Members.FirstOrDefault(m => m.Key.IsText && Plain(m.Key.Text) == which).Value;
            if (value is null && which == "passing")
            {
                Wrong(weights, "a mapping with passing 1-65535");
            }

            return (int)Number(value, 0, which == "passing" ? 1 : 0, 65535);
        }

        ReportedHealth Health()
        {
            if (Field("health") is not { } value)
            {
                return ReportedHealth.Unchecked;
            }

            if (value.IsText && Healths.TryGetValue(value.Text, out ReportedHealth health))
            {
                return health;
            }

            Wrong(value, string.Join(", ", Healths.Keys));
            return ReportedHealth.Unchecked;
        }
    }

    private static CatalogFileContent Broken(string path, long line, long column, string code, string value, string allowed) =>
        new([], [new Problem
        {
            Code = code,
            Place = $"{path}:{line}:{column}",
            Value = value,
            Allowed = allowed,
            Now = "the file is not read; what it held before stands",
        }], Broken: true);

    private static Problem Problem(string path, YamlTree at, string code, string? value, string allowed, string now) => new()
    {
        Code = code,
        Place = $"{path}:{at.Line}:{at.Column}",
        Value = value,
        Allowed = allowed,
        Now = now,
    };

    private static string Plain(string key) => key.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    private static string Quote(string text)
    {
        StringBuilder quoted = new(text.Length + 2);
        quoted.Append('"');
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' or '\\' => quoted.Append('\\').Append(c),

                // YAML's line breaks, controls and what its reader refuses or drops.
                < ' ' or (>= '\x7f' and <= '\x9f') or '\u2028' or '\u2029' or '\ufeff' or '\ufffe' or '\uffff' =>
                    quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append('"').ToString();
    }
}
