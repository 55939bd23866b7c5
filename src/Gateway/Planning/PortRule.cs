using System.Globalization;

namespace Gateway.Planning;

/// <summary>An environment's port rule: <c>{port}</c>, <c>1{port}</c>. Digits are put together as text.</summary>
internal sealed class PortRule
{
    private const string Placeholder = "{port}";
    private const int TextMax = 16;
    private readonly string _before;
    private readonly string? _after;

    public PortRule(string text)
    {
        Text = text;
        int at = text.IndexOf(Placeholder, StringComparison.Ordinal);
        _before = at < 0 ? text : text[..at];
        _after = at < 0 ? null : text[(at + Placeholder.Length)..];
    }

    /// <summary>The rule as written.</summary>
    public string Text { get; }

    /// <summary>The environment's port for a tag's port; false where that is none (T1).</summary>
    public bool TryDerive(int port, out int derived)
    {
        derived = 0;
        if (_before.Length + (_after?.Length ?? 0) > TextMax)
        {
            return false;
        }

        Span<char> text = stackalloc char[TextMax + 5];
        _before.CopyTo(text);
        int length = _before.Length;
        if (_after is not null)
        {
            port.TryFormat(text[length..], out int digits, default, CultureInfo.InvariantCulture);
            length += digits;
            _after.CopyTo(text[length..]);
            length += _after.Length;
        }

        return Units.TryPort(text[..length], out derived);
    }

    /// <summary>What the rule makes of a port, for messages.</summary>
    public string Render(int port) => _after is null
        ? _before
        : string.Create(CultureInfo.InvariantCulture, $"{_before}{port}{_after}");
}
