using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Gateway.DataPlane.Http.Routing;

/// <summary>What a host leads to: path prefixes, the longest first.</summary>
internal readonly record struct PathChoice<T>(string Prefix, T Target);

/// <summary>
/// Host and path of a request → target, in constant time for any number of hosts. In: names as planned; out: the target or
/// nothing. An exact host wins over <c>*.suffix</c>, a longer suffix over a shorter one, all of them over any host; within a host
/// the longest path prefix wins, and what a host does not answer falls to the next less specific. Immutable.
/// </summary>
/// <remarks>
/// Open addressing over one array of names. A host is folded to lower case on the stack, hashed eight bytes at a time, and
/// compared whole; only a table with wildcards also looks up what follows each dot. Nothing is allocated. Hosts are compared
/// as names, never as substrings: HAProxy's hdr_dom would send evil-example.com to example.com.
/// </remarks>
internal sealed class HostTable<T>
    where T : class
{
    // RFC 1035 §2.3.4 allows 255; what is longer is nobody's name.
    private const int HostLengthMax = 256;

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
            byte[] name = Encoding.ASCII.GetBytes(host.ToLowerInvariant());
            uint hash = Hash(name);
            uint at = hash & _mask;
            while (_slots[at].Host is not null)
            {
                at = (at + 1) & _mask;
            }

            _slots[at] = new Slot(hash, name, paths);
        }
    }

    /// <summary>The target for a host as received (any case, with or without port and trailing dot) and a path; or
    /// null.</summary>
    [SkipLocalsInit]
    public T? Find(ReadOnlySpan<char> host, ReadOnlySpan<char> path)
    {
        host = NameOf(host);
        Span<byte> folded = stackalloc byte[HostLengthMax];
        return Choose(
            host.Length <= HostLengthMax && Ascii.ToLower(host, folded, out int length) == OperationStatus.Done
                ? PathsOf(folded[..length])
                : _any,
            path);
    }

    /// <summary>As <see cref="Find(ReadOnlySpan{char}, ReadOnlySpan{char})"/>, on the bytes of a request head.</summary>
    [SkipLocalsInit]
    public T? Find(ReadOnlySpan<byte> host, ReadOnlySpan<byte> path)
    {
        host = NameOf(host);
        Span<byte> folded = stackalloc byte[HostLengthMax];
        return Choose(
            host.Length <= HostLengthMax && Ascii.ToLower(host, folded, out int length) == OperationStatus.Done
                ? PathsOf(folded[..length])
                : _any,
            path);
    }

    private static T? Choose<TChar>(PathChoice<T>[] paths, ReadOnlySpan<TChar> path)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        foreach (ref readonly PathChoice<T> choice in paths.AsSpan())
        {
            if (Covers(choice.Prefix, path))
            {
                return choice.Target;
            }
        }

        return null;
    }

    private PathChoice<T>[] PathsOf(ReadOnlySpan<byte> host)
    {
        // A leading dot would meet the name of a wildcard.
        if (host.IsEmpty || host[0] == '.')
        {
            return _any;
        }

        if (Probe(host) is { } exact)
        {
            return exact;
        }

        // From left to right: the longest suffix is met first.
        for (int dot = _hasWildcards ? host.IndexOf((byte)'.') : -1; dot >= 0;)
        {
            host = host[dot..];
            if (Probe(host) is { } suffix)
            {
                return suffix;
            }

            int next = host[1..].IndexOf((byte)'.');
            dot = next < 0 ? -1 : next + 1;
        }

        return _any;
    }

    private PathChoice<T>[]? Probe(ReadOnlySpan<byte> name)
    {
        uint hash = Hash(name);
        for (uint at = hash & _mask; ; at = (at + 1) & _mask)
        {
            ref readonly Slot slot = ref _slots[at];
            if (slot.Host is null)
            {
                return null;
            }

            if (slot.Hash == hash && name.SequenceEqual(slot.Host))
            {
                return slot.Paths;
            }
        }
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

    // Names come from the catalog and the operator, not from clients, so a keyless hash is safe.
    private static uint Hash(ReadOnlySpan<byte> name)
    {
        const ulong Prime = 0x9E3779B97F4A7C15;
        ulong hash = (ulong)name.Length * Prime;
        while (name.Length >= sizeof(ulong))
        {
            hash = BitOperations.RotateLeft((hash ^ BinaryPrimitives.ReadUInt64LittleEndian(name)) * Prime, 29);
            name = name[sizeof(ulong)..];
        }

        ulong rest = 0;
        foreach (byte b in name)
        {
            rest = (rest << 8) | b;
        }

        hash = (hash ^ rest) * Prime;
        return (uint)(hash >> 32);
    }

    private readonly record struct Slot(uint Hash, byte[] Host, PathChoice<T>[] Paths);
}
