using System.Globalization;
using System.Text;
using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.Control;

/// <summary>
/// How many client connections the operator wants, from two places: the file, and a key that may hold a number (the article's
/// <c>service/haproxy/maxconn</c>). In: what the key holds. Out: a value, where it comes from, and what is wrong. The invariant: a
/// key that is gone or holds nonsense changes nothing.
/// </summary>
internal sealed class ConnectionLimit
{
    /// <summary>The code of a key whose content cannot be used.</summary>
    public const string Invalid = ProblemCodes.LimitInvalid;

    /// <summary>Largest number taken, as for <c>limits.maxConnections</c>.</summary>
    public const int Most = 10_000_000;

    private readonly Lock _gate = new();
    private int _configured = 1;
    private string _configuredPlace = "default";
    private string? _key;
    private string _keyPlace = "";
    private int? _good;
    private ConsulKey? _held;

    /// <summary>Sets what the options say. Another key starts without a memory.</summary>
    public void Configure(int value, string place, string? key, string keyPlace)
    {
        lock (_gate)
        {
            (_configured, _configuredPlace, _keyPlace) = (value, place, keyPlace);
            if (key != _key)
            {
                (_key, _good, _held) = (key, null, null);
            }
        }
    }

    /// <summary>Takes what the key holds now. One that never was is nobody's mistake: the file's value stands.</summary>
    public void Take(ConsulKey held)
    {
        lock (_gate)
        {
            _held = held;
            _good = TryRead(held, out int value) ? value : _good;
        }
    }

    /// <summary>The value wanted, and where it was written.</summary>
    public (int Value, string From) Wanted
    {
        get
        {
            lock (_gate)
            {
                // A variable is set for this process by hand, so it wins; the file is everyone's, and the key is there to override it.
                return _good is { } good && !_configuredPlace.StartsWith("GATEWAY__", StringComparison.OrdinalIgnoreCase)
                    ? (good, $"key {_key}")
                    : (_configured, _configuredPlace);
            }
        }
    }

    /// <summary>What is wrong with the key's content, or null.</summary>
    public Problem? Problem
    {
        get
        {
            lock (_gate)
            {
                if (_held is not { } held || TryRead(held, out _) || (!held.Exists && _good is null))
                {
                    return null;
                }

                return new Problem
                {
                    Code = Invalid,
                    Place = _keyPlace,
                    Value = held.Exists ? Shown(held) : "the key is gone",
                    Allowed = string.Create(CultureInfo.InvariantCulture, $"a whole number from 1 to {Most}"),
                    Now = _good is { } good
                        ? string.Create(CultureInfo.InvariantCulture, $"the last good value, {good}, stays in force; write a number into the key")
                        : string.Create(
                            CultureInfo.InvariantCulture,
                            $"limits.maxConnections ({_configured}, {_configuredPlace}) stays in force; write a number into the key, or delete it"),
                };
            }
        }
    }

    // Whoever writes a key by a shell or an editor leaves a line's end behind it.
    private static bool TryRead(ConsulKey held, out int value)
    {
        value = 0;
        return held.Exists
            && held.Value.Length <= 64
            && int.TryParse(Encoding.UTF8.GetString(held.Value.Span).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out value)
            && value is >= 1 and <= Most;
    }

    private static string Shown(ConsulKey held)
    {
        const int Longest = 60;
        string text = Encoding.UTF8.GetString(held.Value.Span[..Math.Min(held.Value.Length, Longest)]);
        return held.Value.Length <= Longest ? text : text + "…";
    }
}
