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
        if (ForbiddenCharacter(text) is { } at)
        {
            // Found here, because the parser takes NUL for the end of the file and would drop what follows without a word.
            diagnostics.Error(
                PlaceAt(source, text, at), $"a control character (U+{(int)text[at]:X4}) is here; the file must be plain text");
            return null;
        }

        try
        {
            return new YamlTreeReader(text, source, diagnostics).Document();
        }
        catch (YamlException e)
        {
            (Place place, string message) = Syntax(text, source, e);
            diagnostics.Error(place, message);
            return null;
        }
    }

    private static Place PlaceOf(string source, Mark mark) =>
        new(source, (int)Math.Clamp(mark.Line, 1, int.MaxValue), (int)Math.Clamp(mark.Column, 1, int.MaxValue));

    private static Place PlaceAt(string source, string text, int index) => new(
        source, text.AsSpan(0, index).Count('\n') + 1, index - text.LastIndexOf('\n', Math.Max(index - 1, 0)));

    // YAML 1.2 section 5.1: the printable characters.
    private static int? ForbiddenCharacter(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            bool pair = char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
            if ((char.IsControl(c) && c is not ('\t' or '\n' or '\r' or '\u0085')) || (char.IsSurrogate(c) && !pair))
            {
                return i;
            }

            i += pair ? 1 : 0;
        }

        return null;
    }

    private static (Place Place, string Message) Syntax(string text, string source, YamlException e)
    {
        // YAML forbids tabs in indentation; the parser complains of a token before or after it.
        string[] lines = text.Split('\n');
        for (int line = (int)Math.Max(e.Start.Line, 1); line <= Math.Min(e.End.Line + 1, lines.Length); line++)
        {
            string content = lines[line - 1];
            int tab = content[..^content.TrimStart().Length].IndexOf('\t', StringComparison.Ordinal);
            if (tab >= 0)
            {
                return (new Place(source, line, tab + 1), "a tab is in this line's indentation; YAML takes only spaces there");
            }
        }

        return (PlaceOf(source, e.Start), $"not valid YAML: {e.Message.TrimEnd('.')}");
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
