using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Gateway.Discovery.FileCatalogs;

/// <summary>
/// A YAML document as nodes that know their line and column. Unlike YamlDotNet's own tree it keeps duplicate keys, so that one
/// entry's duplicate is that entry's problem and not the whole file's.
/// </summary>
internal sealed class YamlTree
{
    private const int DepthMax = 32;
    private const int NodesMax = 5_000_000;

    private readonly List<(YamlTree Key, YamlTree Value)> _members = [];
    private readonly List<YamlTree> _items = [];
    private readonly string? _text;

    private YamlTree(Mark at, string? text, bool quoted, bool isList)
    {
        Line = at.Line;
        Column = at.Column;
        _text = text;
        Quoted = quoted;
        IsList = isList;
    }

    public long Line { get; }

    public long Column { get; }

    public bool Quoted { get; }

    public bool IsList { get; }

    public bool IsText => _text is not null;

    public bool IsMap => !IsText && !IsList;

    /// <summary>YAML's nothing: <c>~</c>, <c>null</c> or no value.</summary>
    public bool IsNull => !Quoted && _text is ("" or "~" or "null" or "Null" or "NULL");

    public string Text => _text ?? throw new InvalidOperationException("No scalar.");

    public IReadOnlyList<(YamlTree Key, YamlTree Value)> Members => _members;

    public IReadOnlyList<YamlTree> Items => _items;

    /// <summary>What it is, for a message.</summary>
    public string Kind => IsList ? "a list" : IsMap ? "a mapping" : IsNull ? "nothing" : Text;

    /// <summary>The first document; null when there is none.</summary>
    /// <exception cref="YamlException">The text is no YAML; the exception knows where.</exception>
    public static YamlTree? Parse(string text)
    {
        Parser parser = new(new StringReader(text));
        parser.Consume<StreamStart>();
        if (parser.Accept<StreamEnd>(out _))
        {
            return null;
        }

        parser.Consume<DocumentStart>();
        int nodes = 0;
        YamlTree root = Node(parser, [], 0, ref nodes);
        parser.Consume<DocumentEnd>();
        if (!parser.Accept<StreamEnd>(out _))
        {
            Mark at = parser.Current?.Start ?? default;
            throw new YamlException(at, at, "a second document; only one is allowed");
        }

        return root;
    }

    private static YamlTree Node(IParser parser, Dictionary<string, YamlTree?> anchors, int depth, ref int nodes)
    {
        ParsingEvent next = parser.Current ?? throw new YamlException("the document ends early");
        if (depth > DepthMax || ++nodes > NodesMax)
        {
            throw new YamlException(next.Start, next.End, $"nested deeper than {DepthMax} or more than {NodesMax} values");
        }

        if (next is AnchorAlias alias)
        {
            parser.MoveNext();
            return anchors.GetValueOrDefault(alias.Value.Value)
                ?? throw new YamlException(alias.Start, alias.End, $"no anchor '{alias.Value}' before this alias");
        }

        string? anchor = next is NodeEvent { Anchor.IsEmpty: false } named ? named.Anchor.Value : null;
        if (anchor is not null)
        {
            // Not yet known: an alias to what contains it would make an endless tree.
            anchors[anchor] = null;
        }

        YamlTree node;
        if (next is Scalar scalar)
        {
            parser.MoveNext();
            bool quoted = scalar.Style is not (ScalarStyle.Plain or ScalarStyle.Any);
            node = new YamlTree(scalar.Start, scalar.Value, quoted, isList: false);
        }
        else if (next is SequenceStart sequence)
        {
            parser.MoveNext();
            node = new YamlTree(sequence.Start, null, quoted: false, isList: true);
            while (!parser.TryConsume<SequenceEnd>(out _))
            {
                node._items.Add(Node(parser, anchors, depth + 1, ref nodes));
            }
        }
        else
        {
            MappingStart mapping = parser.Consume<MappingStart>();
            node = new YamlTree(mapping.Start, null, quoted: false, isList: false);
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                YamlTree key = Node(parser, anchors, depth + 1, ref nodes);
                node._members.Add((key, Node(parser, anchors, depth + 1, ref nodes)));
            }
        }

        if (anchor is not null)
        {
            anchors[anchor] = node;
        }

        return node;
    }
}
