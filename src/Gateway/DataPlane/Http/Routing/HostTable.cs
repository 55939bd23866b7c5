using System.Numerics;

namespace Gateway.DataPlane.Http.Routing;

/// <summary>What a host leads to: path prefixes, the longest first.</summary>
internal readonly record struct PathChoice<T>(string Prefix, T Target);

/// <summary>
/// Host and path of a request → target, in constant time for any number of hosts. In: names as planned; out: the target or
/// nothing. An exact host wins over <c>*.suffix</c>, a longer suffix over a shorter one, all of them over any host; within a host
/// the longest path prefix wins, and what a host does not answer falls to the next less specific. Immutable.
/// </summary>
/// <remarks>
/// Open addressing over one array of names. The hash runs from the end of the host to its beginning, so that the hash of every
/// suffix is met on the way and wildcards need no second pass; letters are folded while hashing, so nothing is allocated.
/// Hosts are compared as whole names, never as substrings: HAProxy's hdr_dom would send evil-example.com to example.com.
/// </remarks>
internal sealed class HostTable<T>
    where T : class
{
    private readonly Slot[] _slots;
    private readonly uint _mask;
    private readonly bool _hasWildcards;
    private readonly PathChoice<T>[] _any;

    /// <summary>Builds a table.</summary>
    /// <param name="routes">Host (lower case, <c>*.suffix</c> or <c>*</c>), path prefix and target, in any order.</param>
    public HostTable(IEnumerable<(string Host, string PathPrefix, T Target)> routes)
    {
        // 1. Group by host; paths in order of length, so that the first match is the longest.
        Dictionary<string, List<PathChoice<T>>> byHost = new(StringComparer.OrdinalIgnoreCase);
        foreach ((string host, string prefix, T target) in routes)
        {
            string key = host.StartsWith("*.", StringComparison.Ordinal) ? host[1..] : host.TrimEnd('.');
            if (!byHost.TryGetValue(key, out List<PathChoice<T>>? paths))
            {
                byHost.Add(key, paths = []);
            }

            paths.Add(new PathChoice<T>(prefix.TrimEnd('/'), target));
        }

        foreach (List<PathChoice<T>> paths in byHost.Values)
        {
            paths.Sort(static (a, b) => b.Prefix.Length.CompareTo(a.Prefix.Length));
        }

        // 2. A host without a catch-all path inherits from the less specific ones, so that a lookup never has to turn back.
        Dictionary<string, PathChoice<T>[]> whole = new(byHost.Count, StringComparer.OrdinalIgnoreCase);
        foreach ((string host, List<PathChoice<T>> paths) in byHost)
        {
            whole.Add(host, WithInherited(host, paths, byHost));
        }

        whole.Remove("*", out PathChoice<T>[]? any);
        _any = any ?? [];

        // 3. Half full at most: a miss ends after one or two steps.
        _slots = new Slot[(int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(4, whole.Count * 2))];
        _mask = (uint)_slots.Length - 1;
        foreach ((string host, PathChoice<T>[] paths) in whole)
        {
            _hasWildcards |= host[0] == '.';
            uint hash = Hash<char>(host);
            uint at = hash & _mask;
            while (_slots[at].Host is not null)
            {
                at = (at + 1) & _mask;
            }

            _slots[at] = new Slot(hash, host, paths);
        }
    }

    /// <summary>The target for a host as received (any case, with or without port and trailing dot) and a path; or null.</summary>
    public T? Find(ReadOnlySpan<char> host, ReadOnlySpan<char> path) => FindIn(host, path);

    /// <summary>As <see cref="Find(ReadOnlySpan{char}, ReadOnlySpan{char})"/>, on the bytes of a request head.</summary>
    public T? Find(ReadOnlySpan<byte> host, ReadOnlySpan<byte> path) => FindIn(host, path);

    private T? FindIn<TChar>(ReadOnlySpan<TChar> host, ReadOnlySpan<TChar> path)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        host = NameOf(host);
        PathChoice<T>[] paths = _slots.Length == 0 ? _any : PathsOf(host);
        foreach (ref readonly PathChoice<T> choice in paths.AsSpan())
        {
            if (Covers(choice.Prefix, path))
            {
                return choice.Target;
            }
        }

        return null;
    }

    private PathChoice<T>[] PathsOf<TChar>(ReadOnlySpan<TChar> host)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        PathChoice<T>[] found = _any;
        uint hash = Seed;
        for (int i = host.Length - 1; i >= 0; i--)
        {
            uint c = Fold(host[i]);
            hash = Mix(hash, c);

            // A longer suffix is met later and replaces a shorter one. At 0 it would be a whole name that begins with a dot.
            if (c == '.' && _hasWildcards && i > 0 && Probe(hash, host[i..]) is { } suffix)
            {
                found = suffix;
            }
        }

        return host.IsEmpty || host[0] == TChar.CreateTruncating('.') ? found : Probe(hash, host) ?? found;
    }

    private PathChoice<T>[]? Probe<TChar>(uint hash, ReadOnlySpan<TChar> name)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        for (uint at = hash & _mask; ; at = (at + 1) & _mask)
        {
            ref readonly Slot slot = ref _slots[at];
            if (slot.Host is null)
            {
                return null;
            }

            if (slot.Hash == hash && slot.Host.Length == name.Length && SameName(slot.Host, name))
            {
                return slot.Paths;
            }
        }
    }

    private static bool SameName<TChar>(string planned, ReadOnlySpan<TChar> received)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        for (int i = 0; i < planned.Length; i++)
        {
            if (Fold(planned[i]) != Fold(received[i]))
            {
                return false;
            }
        }

        return true;
    }

    // Cuts port and trailing dot: name, name., name:80, name.:80, [v6], [v6]:80.
    private static ReadOnlySpan<TChar> NameOf<TChar>(ReadOnlySpan<TChar> host)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        int colon = host.LastIndexOf(TChar.CreateTruncating(':'));
        if (colon >= 0 && host.IndexOf(TChar.CreateTruncating(']')) < colon)
        {
            host = host[..colon];
        }

        return host is [.., var last] && last == TChar.CreateTruncating('.') ? host[..^1] : host;
    }

    // Prefixes are kept without a trailing slash; "" covers everything. A border is the end, a slash or the query.
    private static bool Covers<TChar>(string prefix, ReadOnlySpan<TChar> path)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        if (prefix.Length == 0)
        {
            return true;
        }

        if (path.Length < prefix.Length)
        {
            return false;
        }

        for (int i = 0; i < prefix.Length; i++)
        {
            if (TChar.CreateTruncating(prefix[i]) != path[i])
            {
                return false;
            }
        }

        return path.Length == prefix.Length
            || path[prefix.Length] == TChar.CreateTruncating('/')
            || path[prefix.Length] == TChar.CreateTruncating('?');
    }

    private static PathChoice<T>[] WithInherited(
        string host, List<PathChoice<T>> own, Dictionary<string, List<PathChoice<T>>> byHost)
    {
        List<PathChoice<T>> all = [.. own];
        int dot = host.IndexOf('.', host.Length > 0 && host[0] == '.' ? 1 : 0);
        while (all[^1].Prefix.Length > 0 && dot >= 0)
        {
            if (byHost.TryGetValue(host[dot..], out List<PathChoice<T>>? wildcard))
            {
                all.AddRange(wildcard);
            }

            dot = host.IndexOf('.', dot + 1);
        }

        if (all[^1].Prefix.Length > 0 && host != "*" && byHost.TryGetValue("*", out List<PathChoice<T>>? any))
        {
            all.AddRange(any);
        }

        return [.. all];
    }

    private const uint Seed = 2166136261;

    private static uint Mix(uint hash, uint c) => BitOperations.RotateLeft((hash ^ c) * 0x9E3779B1, 13);

    private static uint Fold<TChar>(TChar c)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        uint u = uint.CreateTruncating(c);
        return u - 'A' <= 'Z' - 'A' ? u | 0x20 : u;
    }

    private static uint Hash<TChar>(ReadOnlySpan<TChar> name)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        uint hash = Seed;
        for (int i = name.Length - 1; i >= 0; i--)
        {
            hash = Mix(hash, Fold(name[i]));
        }

        return hash;
    }

    private readonly record struct Slot(uint Hash, string Host, PathChoice<T>[] Paths);
}
