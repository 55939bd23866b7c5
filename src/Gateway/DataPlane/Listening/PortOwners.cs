using System.Globalization;
using System.Net;

namespace Gateway.DataPlane.Listening;

/// <summary>A program that holds a port.</summary>
internal sealed record PortOwner(int Pid, string Program)
{
    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"pid {Pid} ({Program})");
}

/// <summary>
/// Finds who holds a TCP port, as far as this user may see: /proc/net/tcp names the socket's inode, /proc/PID/fd the process.
/// The second step reads every descriptor of the host, so an answer is kept for as long as the same socket holds the port.
/// </summary>
internal sealed class PortOwners
{
    private const string Listen = "0A";
    private Dictionary<ulong, PortOwner?> _known = [];

    /// <summary>Owners by address; an address whose owner is not visible is absent.</summary>
    public IReadOnlyDictionary<IPEndPoint, PortOwner> Find(IReadOnlyCollection<IPEndPoint> wanted)
    {
        List<(IPEndPoint EndPoint, bool Listens, ulong Inode)> sockets = [.. Read("/proc/net/tcp"), .. Read("/proc/net/tcp6")];
        Dictionary<IPEndPoint, ulong> inodes = [];
        foreach (IPEndPoint endPoint in wanted)
        {
            // A listener is the likely owner, on the very address before the wildcard; else anything bound to that port.
            foreach ((IPEndPoint held, bool listens, ulong inode) in sockets
                .Where(s => s.EndPoint.Port == endPoint.Port && s.Inode != 0)
                .OrderBy(s => !s.Listens)
                .ThenBy(s => !s.EndPoint.Address.Equals(endPoint.Address)))
            {
                if (Overlap(held.Address, endPoint.Address))
                {
                    inodes[endPoint] = inode;
                    break;
                }
            }
        }

        HashSet<ulong> asked = [.. inodes.Values.Where(i => !_known.ContainsKey(i))];
        Dictionary<ulong, PortOwner> found = asked.Count == 0 ? [] : OwnersOf(asked);
        _known = inodes.Values.Distinct().ToDictionary(i => i, i => _known.GetValueOrDefault(i) ?? found.GetValueOrDefault(i));

        Dictionary<IPEndPoint, PortOwner> owners = [];
        foreach ((IPEndPoint endPoint, ulong inode) in inodes)
        {
            if (_known[inode] is { } owner)
            {
                owners[endPoint] = owner;
            }
        }

        return owners;
    }

    /// <summary>One line of /proc/net/tcp or tcp6; null for its heading.</summary>
    internal static (IPEndPoint EndPoint, bool Listens, ulong Inode)? Parse(string line)
    {
        string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (fields.Length < 10 || !ulong.TryParse(fields[9], CultureInfo.InvariantCulture, out ulong inode))
        {
            return null;
        }

        // The address is printed as one (IPv4) or four (IPv6) 32-bit words in the machine's byte order, the port as a number.
        string local = fields[1];
        int colon = local.IndexOf(':', StringComparison.Ordinal);
        byte[] address = new byte[colon / 2];
        for (int word = 0; word < colon / 8; word++)
        {
            uint value = uint.Parse(local.AsSpan(word * 8, 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            BitConverter.TryWriteBytes(address.AsSpan(word * 4), value);
        }

        int port = int.Parse(local.AsSpan(colon + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        return (new IPEndPoint(new IPAddress(address), port), fields[3] == Listen, inode);
    }

    private static List<(IPEndPoint, bool, ulong)> Read(string path)
    {
        try
        {
            return File.ReadLines(path).Select(Parse).Where(s => s is not null).Select(s => s!.Value).ToList();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return []; // no such file where IPv6 is off
        }
    }

    private static bool Overlap(IPAddress held, IPAddress wanted)
    {
        if (held.Equals(wanted) || held.Equals(IPAddress.IPv6Any))
        {
            return true; // [::] without IPV6_V6ONLY holds the IPv4 port too
        }

        return held.AddressFamily == wanted.AddressFamily
            ? held.Equals(IPAddress.Any) || wanted.Equals(IPAddress.Any) || wanted.Equals(IPAddress.IPv6Any)
            : held.IsIPv4MappedToIPv6 && held.MapToIPv4().Equals(wanted);
    }

    private static Dictionary<ulong, PortOwner> OwnersOf(HashSet<ulong> inodes)
    {
        Dictionary<ulong, PortOwner> owners = [];
        foreach (string process in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(process), CultureInfo.InvariantCulture, out int pid))
            {
                continue;
            }

            try
            {
                foreach (string descriptor in Directory.EnumerateFileSystemEntries(Path.Combine(process, "fd")))
                {
                    string? target = new FileInfo(descriptor).LinkTarget;
                    if (target is not null && target.StartsWith("socket:[", StringComparison.Ordinal)
                        && ulong.TryParse(target.AsSpan(8, target.Length - 9), CultureInfo.InvariantCulture, out ulong inode)
                        && inodes.Contains(inode))
                    {
                        owners.TryAdd(inode, new PortOwner(pid, File.ReadAllText(Path.Combine(process, "comm")).Trim()));
                        if (owners.Count == inodes.Count)
                        {
                            return owners;
                        }
                    }
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It ended meanwhile, or belongs to another user: not visible.
            }
        }

        return owners;
    }
}
