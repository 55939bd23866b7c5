using System.Buffers;
using System.Net;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Which registered addresses can be connected to, and which of them are this host.</summary>
internal sealed class InstanceAddresses
{
    /// <summary>What an address may be, for messages.</summary>
    public const string AddressForm = "an IP address of a host, or a DNS name";

    private static readonly SearchValues<char> V4Characters = SearchValues.Create("0123456789.");

    private readonly HashSet<uint> _ownV4 = [];
    private readonly HashSet<IPAddress> _ownAddresses = [];
    private readonly HashSet<string> _ownNames = new(StringComparer.OrdinalIgnoreCase);

    public InstanceAddresses(EquatableArray<string> own)
    {
        foreach (string address in own)
        {
            if (IPAddress.TryParse(address, out IPAddress? ip))
            {
                _ownAddresses.Add(Plain(ip));
                _ = TryV4(Plain(ip).ToString(), out uint v4) && _ownV4.Add(v4);
            }
            else
            {
                _ownNames.Add(address);
            }
        }
    }

    /// <summary>False where nothing could ever be reached; <paramref name="own"/> where it is this host.</summary>
    public bool TryJudge(string address, out bool own)
    {
        own = false;

        if (TryV4(address, out uint v4))
        {
            own = _ownV4.Contains(v4);
            return v4 != 0;
        }

        // IPAddress also reads "[::1]:80", "1" and "0x7f.1": forms that a registration never means.
        bool v6 = address.Contains(':', StringComparison.Ordinal);
        if (!v6 && !address.AsSpan().ContainsAnyExcept(V4Characters))
        {
            return false;
        }

        if (!v6)
        {
            ReadOnlySpan<char> name = address.EndsWith('.') ? address.AsSpan(0, address.Length - 1) : address;
            own = _ownNames.Count > 0 && _ownNames.GetAlternateLookup<ReadOnlySpan<char>>().Contains(name);
            return name.Length is > 0 and <= 253 && HostNames.IsName(name);
        }

        if (address.Length > 64 || address.StartsWith('[') || !IPAddress.TryParse(address, out IPAddress? ip))
        {
            return false;
        }

        ip = Plain(ip);
        own = _ownAddresses.Contains(ip);
        return !ip.Equals(IPAddress.Any) && !ip.Equals(IPAddress.IPv6Any);
    }

    // Nearly all addresses are IPv4 in dotted decimals: read without making an object of each.
    private static bool TryV4(ReadOnlySpan<char> text, out uint address)
    {
        address = 0;
        uint part = 0;
        int digits = 0;
        int dots = 0;
        foreach (char c in text)
        {
            if (c == '.' && digits > 0 && dots < 3)
            {
                address = (address << 8) | part;
                (part, digits, dots) = (0, 0, dots + 1);
            }
            else if (char.IsAsciiDigit(c) && !(digits > 0 && part == 0))
            {
                part = (part * 10) + (uint)(c - '0');
                digits++;
                if (part > 255)
                {
                    return false;
                }
            }
            else
            {
                return false;
            }
        }

        address = (address << 8) | part;
        return digits > 0 && dots == 3;
    }

    private static IPAddress Plain(IPAddress ip) => ip.IsIPv4MappedToIPv6 ? ip.MapToIPv4() : ip;
}
