using System.Diagnostics.CodeAnalysis;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Gateway.Configuration;

/// <summary>
/// YAML text in, tree with places out. Only the plain part of YAML is taken: anchors, merge keys, tags, keys that are not
/// names, duplicates and second documents are errors, because each of them makes a file say something else than it seems to.
/// </summary>
internal sealed class YamlTreeReader
{
    private const int DepthMax = 32;
    private readonly string _source;
    private readonly DiagnosticList _diagnostics;
    private readonly Parser _parser;

    private YamlTreeReader(string text, string source, DiagnosticList diagnostics)
    {
        _source = source;
        _diagnostics = diagnostics;
        _parser = new Parser(new StringReader(text));
    }

    /// <summary>The root mapping; empty for an empty file, null when there is no tree to speak of (an error says why).</summary>
    public static YamlMap? Read(string text, string source, DiagnosticList diagnostics)
    {
        try
        {
            return new YamlTreeReader(text, source, diagnostics).Document();
        }
        catch (YamlException e)
        {
            diagnostics.Error(PlaceOf(source, e.Start), SyntaxMessage(text, e));
            return null;
        }
    }

    private static Place PlaceOf(string source, Mark mark) =>
        new(source, (int)Math.Clamp(mark.Line, 1, int.MaxValue), (int)Math.Clamp(mark.Column, 1, int.MaxValue));

    private static string SyntaxMessage(string text, YamlException e)
    {
        // YAML forbids tabs in indentation; the parser notices only later that a token is out of place.
        int lineIndex = (int)e.Start.Line - 1;
        string line = text.Split('\n').ElementAtOrDefault(lineIndex) ?? "";
        string indentation = line[..^line.TrimStart().Length];
        string reason = e.Message.TrimEnd('.');
        return indentation.Contains('\t', StringComparison.Ordinal)
            ? "a tab is in this line's indentation; YAML takes only spaces there"
            : $"not valid YAML: {reason}";
    }

    private YamlMap? Document()
    {
        _parser.Consume<StreamStart>();
        if (_parser.Accept<StreamEnd>(out _))
        {
            return new YamlMap(new Place(_source, 1, 1));
        }

        _parser.Consume<DocumentStart>();
        YamlNode root = Node(null, 0);
        _parser.Consume<DocumentEnd>();
        if (Take(out DocumentStart? second))
        {
            Error(second.Start, "a second document begins here; the file must be one document");
        }

        switch (root)
        {
            case YamlMap map:
                return map;
            case YamlScalar { IsNull: true }:
                return new YamlMap(new Place(_source, 1, 1));
            default:
                _diagnostics.Error(root.Place, "the file must be a mapping of keys like 'catalog:' and 'drain:'");
                return null;
        }
    }

    private YamlNode Node(Place? ofKey, int depth)
    {
        if (depth > DepthMax)
        {
            // Thrown like the parser's own errors: nothing below is worth reading.
            throw new YamlException(_parser.Current!.Start, _parser.Current.End, $"nested deeper than {DepthMax} levels");
        }

        if (Take(out AnchorAlias? alias))
        {
            Error(alias.Start, $"aliases (*{alias.Value}) are not used here; write the value out");
            return new YamlScalar("", quoted: false, PlaceOf(_source, alias.Start));
        }

        if (_parser.Current is NodeEvent node)
        {
            if (!node.Anchor.IsEmpty)
            {
                Error(node.Start, $"anchors (&{node.Anchor.Value}) are not used here; write the value out where it is needed");
            }

            // "!" is what the parser itself gives to quoted text.
            if (!node.Tag.IsEmpty && !node.Tag.IsNonSpecific)
            {
                Error(node.Start, $"tags ({node.Tag.Value}) are not used here; write the value alone");
            }
        }

        if (Take(out Scalar? scalar))
        {
            bool quoted = scalar.Style is not (ScalarStyle.Plain or ScalarStyle.Any);
            bool empty = !quoted && scalar.Value.Length == 0;
            return new YamlScalar(scalar.Value, quoted, empty && ofKey is { } key ? key : PlaceOf(_source, scalar.Start));
        }

        return Take(out SequenceStart? sequence) ? List(sequence, depth) : Map(_parser.Consume<MappingStart>(), depth);
    }

    private YamlList List(SequenceStart start, int depth)
    {
        YamlList list = new(PlaceOf(_source, start.Start));
        while (!_parser.TryConsume<SequenceEnd>(out _))
        {
            list.Items.Add(Node(list.Place, depth + 1));
        }

        return list;
    }

    private YamlMap Map(MappingStart start, int depth)
    {
        YamlMap map = new(PlaceOf(_source, start.Start));
        Dictionary<string, Place> seen = new(StringComparer.Ordinal);
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            Mark mark = _parser.Current!.Start;
            YamlNode keyNode = Node(null, depth + 1);
            YamlNode value = Node(PlaceOf(_source, mark), depth + 1);
            if (keyNode is not YamlScalar { IsEmpty: false } key)
            {
                Error(mark, "a key must be a name");
            }
            else if (key is { Text: "<<", Quoted: false })
            {
                Error(mark, "merge keys (<<) are not used here; write the keys out");
            }
            else if (!seen.TryAdd(key.Text, key.Place))
            {
                Error(mark, $"duplicate key '{key.Text}'; it is already at line {seen[key.Text].Line}");
            }
            else
            {
                map.Entries.Add(new YamlEntry(key.Text, key.Place, value));
            }
        }

        return map;
    }

    private bool Take<T>([NotNullWhen(true)] out T? taken)
        where T : ParsingEvent
    {
        taken = _parser.Accept<T>(out _) ? _parser.Consume<T>() : null;
        return taken is not null;
    }

    private void Error(Mark mark, string message) => _diagnostics.Error(PlaceOf(_source, mark), message);
}
