using System.Collections.Immutable;
using System.Text.RegularExpressions;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// Consul's <c>?filter=</c>: comparisons of selectors with values (<c>==</c>, <c>!=</c>, <c>in</c>, <c>not in</c>,
/// <c>contains</c>, <c>not contains</c>, <c>is empty</c>, <c>is not empty</c>, <c>matches</c>, <c>not matches</c>), joined by
/// <c>and</c>, <c>or</c>, <c>not</c> and parentheses. A selector is a dotted path into the answer, such as <c>ServiceTags</c>
/// or <c>Service.Meta.zone</c>; what it leads to is a string or a list of strings.
/// </summary>
internal sealed class FilterExpression
{
    private const string Prefix = "Failed to create boolean expression evaluator: ";
    private static readonly TimeSpan RegexTimeout = TimeSpan.FromMilliseconds(100);
    private readonly Func<Func<string, IReadOnlyList<string>?>, bool> _matches;

    private FilterExpression(Func<Func<string, IReadOnlyList<string>?>, bool> matches) => _matches = matches;

    /// <summary>Whether a record matches; <paramref name="select"/>: what a selector leads to, always a list.</summary>
    public bool Matches(Func<string, IReadOnlyList<string>?> select) => _matches(select);

    /// <summary>Reads an expression. <paramref name="knows"/>: which selectors lead somewhere, and whether to a list.</summary>
    public static FilterExpression? Parse(string text, Func<string, SelectorKind> knows, out string? error)
    {
        try
        {
            Parser parser = new(text, knows);
            Func<Func<string, IReadOnlyList<string>?>, bool> matches = parser.Or(0);
            parser.End();
            error = null;
            return new FilterExpression(matches);
        }
        catch (FormatException failure)
        {
            error = Prefix + failure.Message;
            return null;
        }
    }

    private sealed class Parser(string text, Func<string, SelectorKind> knows)
    {
        private const int DepthMax = 32;
        private int _at;

        public Func<Func<string, IReadOnlyList<string>?>, bool> Or(int depth)
        {
            if (depth > DepthMax)
            {
                throw new FormatException($"1:{_at + 1} ({_at}): nested deeper than {DepthMax}");
            }

            Func<Func<string, IReadOnlyList<string>?>, bool> left = And(depth);
            while (Word("or"))
            {
                Func<Func<string, IReadOnlyList<string>?>, bool> a = left;
                Func<Func<string, IReadOnlyList<string>?>, bool> b = And(depth);
                left = s => a(s) || b(s);
            }

            return left;
        }

        public void End()
        {
            Blanks();
            if (_at < text.Length)
            {
                throw Expected("\"and\", \"or\" or the end");
            }
        }

        private Func<Func<string, IReadOnlyList<string>?>, bool> And(int depth)
        {
            Func<Func<string, IReadOnlyList<string>?>, bool> left = Not(depth);
            while (Word("and"))
            {
                Func<Func<string, IReadOnlyList<string>?>, bool> a = left;
                Func<Func<string, IReadOnlyList<string>?>, bool> b = Not(depth);
                left = s => a(s) && b(s);
            }

            return left;
        }

        private Func<Func<string, IReadOnlyList<string>?>, bool> Not(int depth)
        {
            if (Word("not"))
            {
                Func<Func<string, IReadOnlyList<string>?>, bool> inner =
                    depth > DepthMax ? throw Expected("less depth") : Not(depth + 1);
                return s => !inner(s);
            }

            if (Symbol("("))
            {
                Func<Func<string, IReadOnlyList<string>?>, bool> inner = Or(depth + 1);
                return Symbol(")") ? inner : throw Expected("\")\"");
            }

            return Comparison();
        }

        private Func<Func<string, IReadOnlyList<string>?>, bool> Comparison()
        {
            // 1. VALUE [not] in SELECTOR, or SELECTOR OPERATOR VALUE: both begin with a token.
            string first = Value(out bool quoted);
            bool negated = Word("not");
            if (Word("in"))
            {
                return Contains(Value(out _), first, negated);
            }

            if (quoted)
            {
                throw Expected("\"in\" or \"not in\" after a quoted value");
            }

            if (Word("contains"))
            {
                return Contains(first, Value(out _), negated);
            }

            if (Word("matches"))
            {
                return MatchesPattern(first, Value(out _), negated);
            }

            if (negated)
            {
                throw Expected("\"in\", \"contains\" or \"matches\"");
            }

            // 2. The rest.
            if (Word("is"))
            {
                bool not = Word("not");
                if (!Word("empty"))
                {
                    throw Expected("\"empty\"");
                }

                return Known(first) == SelectorKind.List
                    ? s => (s(first) is not { Count: > 0 }) != not
                    : throw new FormatException(
                        $"Invalid match operator \"{(not ? "Is Not Empty" : "Is Empty")}\" for selector \"{first}\"");
            }

            bool equal = Symbol("==");
            if (!equal && !Symbol("!="))
            {
                throw Expected("\"!=\", \"==\", \"in\", \"not in\", \"contains\", \"matches\" or \"is\"");
            }

            if (Known(first) == SelectorKind.List)
            {
                throw new FormatException(
                    $"Invalid match operator \"{(equal ? "Equal" : "Not Equal")}\" for selector \"{first}\"");
            }

            string value = Value(out _);
            return s => (s(first) is { Count: > 0 } list && list[0] == value) == equal;
        }

        private Func<Func<string, IReadOnlyList<string>?>, bool> Contains(string selector, string value, bool negated)
        {
            bool list = Known(selector) == SelectorKind.List;
            return s => (s(selector) is { } values
                && (list ? values.Contains(value) : values.Any(v => v.Contains(value, StringComparison.Ordinal)))) != negated;
        }

        private Func<Func<string, IReadOnlyList<string>?>, bool> MatchesPattern(string selector, string pattern, bool negated)
        {
            _ = Known(selector);
            Regex regex;
            try
            {
                // Go's engine is linear in the input; so is this one.
                regex = new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, RegexTimeout);
            }
            catch (Exception failure) when (failure is ArgumentException or NotSupportedException)
            {
                throw new FormatException($"Failed to compile regular expression '{pattern}': {failure.Message}", failure);
            }

            return s => (s(selector) is { Count: > 0 } list && list.Any(v => regex.IsMatch(v))) != negated;
        }

        private SelectorKind Known(string selector) => knows(selector) is var kind and not SelectorKind.Unknown
            ? kind : throw new FormatException($"Selector \"{selector}\" is not valid");

        private string Value(out bool quoted)
        {
            Blanks();
            quoted = _at < text.Length && text[_at] is '"' or '`';
            int start = _at;
            if (quoted)
            {
                char quote = text[_at];
                System.Text.StringBuilder value = new();
                for (_at++; _at < text.Length && text[_at] != quote; _at++)
                {
                    if (text[_at] == '\\' && quote == '"' && _at + 1 < text.Length)
                    {
                        _at++;
                    }

                    value.Append(text[_at]);
                }

                if (_at >= text.Length)
                {
                    throw new FormatException($"1:{start + 1} ({start}): Unterminated string literal");
                }

                _at++;
                return value.ToString();
            }

            while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '_' or '.' or '-' or '/' or ':'))
            {
                _at++;
            }

            return _at > start ? text[start.._at] : throw Expected("a selector, a value, \"not\" or \"(\"");
        }

        private bool Word(string word)
        {
            Blanks();
            int end = _at + word.Length;
            if (string.CompareOrdinal(text, _at, word, 0, word.Length) != 0
                || (end < text.Length && !char.IsWhiteSpace(text[end]) && text[end] is not ('(' or ')' or '"' or '`')))
            {
                return false;
            }

            _at = end;
            return true;
        }

        private bool Symbol(string symbol)
        {
            Blanks();
            if (string.CompareOrdinal(text, _at, symbol, 0, symbol.Length) != 0)
            {
                return false;
            }

            _at += symbol.Length;
            return true;
        }

        private void Blanks()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
            {
                _at++;
            }
        }

        private FormatException Expected(string what) => new($"1:{_at + 1} ({_at}): no match found, expected: {what}");
    }
}

/// <summary>What a selector leads to.</summary>
internal enum SelectorKind
{
    Unknown,
    Single,
    List,
}

/// <summary>What the answers of the catalog let a filter select.</summary>
internal static class FilterSelectors
{
    private static readonly ImmutableHashSet<string> CheckFields =
        ["Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName", "Type"];

    private static readonly ImmutableHashSet<string> ServiceFields = ["ID", "Service", "Address", "Port", "EnableTagOverride"];

    public static SelectorKind OfCheck(string selector) =>
        CheckFields.Contains(selector) ? SelectorKind.Single
        : selector == "ServiceTags" ? SelectorKind.List : SelectorKind.Unknown;

    public static SelectorKind OfService(string selector) =>
        ServiceFields.Contains(selector) || IsMember(selector, "Meta.") || selector is "Weights.Passing" or "Weights.Warning"
            ? SelectorKind.Single
            : selector is "Tags" or "Meta" ? SelectorKind.List : SelectorKind.Unknown;

    public static SelectorKind OfHealth(string selector) =>
        selector is "Node.Node" or "Node.Address" or "Node.ID" or "Node.Datacenter" ? SelectorKind.Single
        : selector.StartsWith("Service.", StringComparison.Ordinal) ? OfService(selector["Service.".Length..])
        : selector.StartsWith("Checks.", StringComparison.Ordinal)
            && OfCheck(selector["Checks.".Length..]) != SelectorKind.Unknown
            ? SelectorKind.List : SelectorKind.Unknown;

    public static SelectorKind OfCatalogService(string selector) => selector switch
    {
        "Node" or "Address" or "ID" or "Datacenter" or "ServiceID" or "ServiceName" or "ServiceAddress" or "ServicePort"
            or "ServiceEnableTagOverride" or "ServiceWeights.Passing" or "ServiceWeights.Warning" => SelectorKind.Single,
        "ServiceTags" or "ServiceMeta" => SelectorKind.List,
        _ => IsMember(selector, "ServiceMeta.") ? SelectorKind.Single : SelectorKind.Unknown,
    };

    public static IReadOnlyList<string>? Select(string selector, ServiceRecord service) => selector switch
    {
        "ID" => [service.Id],
        "Service" => [service.Name],
        "Address" => [service.Address],
        "Port" => [$"{service.Port}"],
        "EnableTagOverride" => [service.EnableTagOverride ? "true" : "false"],
        "Weights.Passing" => [$"{service.WeightPassing}"],
        "Weights.Warning" => [$"{service.WeightWarning}"],
        "Tags" => [.. service.Tags],
        "Meta" => [.. service.Meta.Select(m => m.Key)],
        _ when IsMember(selector, "Meta.") =>
            [.. service.Meta.Where(m => m.Key == selector["Meta.".Length..]).Select(m => m.Value)],
        _ => null,
    };

    public static IReadOnlyList<string>? Select(string selector, CheckRecord check, ServiceRecord? service, NodeRecord node) =>
        selector switch
        {
            "Node" => [node.Name],
            "CheckID" => [check.Definition.Id],
            "Name" => [check.Definition.Name],
            "Status" => [CatalogJson.Text(check.Status)],
            "Notes" => [check.Definition.Notes],
            "Output" => [check.Output],
            "ServiceID" => [check.Definition.ServiceId],
            "ServiceName" => [service?.Name ?? ""],
            "ServiceTags" => service is null ? [] : [.. service.Tags],
            "Type" => [CatalogJson.Text(check.Definition.Kind)],
            _ => null,
        };

    public static IReadOnlyList<string>? Select(string selector, HealthRecord health, NodeRecord node) =>
        selector.StartsWith("Node.", StringComparison.Ordinal) ? SelectNode(selector["Node.".Length..], node)
        : selector.StartsWith("Service.", StringComparison.Ordinal) ? Select(selector["Service.".Length..], health.Service)
        : selector.StartsWith("Checks.", StringComparison.Ordinal)
            ? [.. health.Checks.SelectMany(c => Select(
                selector["Checks.".Length..], c, c.Definition.ServiceId.Length == 0 ? null : health.Service, node) ?? [])]
        : null;

    public static IReadOnlyList<string>? SelectCatalog(string selector, ServiceRecord service, NodeRecord node) => selector switch
    {
        "ServiceName" => [service.Name],
        _ when selector.StartsWith("Service", StringComparison.Ordinal) => Select(selector["Service".Length..], service),
        _ => SelectNode(selector, node),
    };

    private static IReadOnlyList<string>? SelectNode(string selector, NodeRecord node) => selector switch
    {
        "Node" => [node.Name],
        "Address" => [node.Address],
        "ID" => [node.Id],
        "Datacenter" => [NodeRecord.Datacenter],
        _ => null,
    };

    private static bool IsMember(string selector, string prefix) =>
        selector.Length > prefix.Length && selector.StartsWith(prefix, StringComparison.Ordinal);
}
