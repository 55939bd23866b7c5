using System.Net;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Which registered addresses can be connected to, and which of them are this host.</summary>
internal sealed class InstanceAddresses
{
    /// <summary>What an address may be, for messages.</summary>
    public const string AddressForm = "an IP address of a host, or a DNS name";

    private readonly HashSet<IPAddress> _ownAddresses = [];
    private readonly HashSet<string> _ownNames = new(StringComparer.OrdinalIgnoreCase);

    public InstanceAddresses(EquatableArray<string> own)
    {
        foreach (string address in own)
        {
            if (IPAddress.TryParse(address, out IPAddress? ip))
            {
                _ownAddresses.Add(Plain(ip));
            }
            else
            {
                _ownNames.Add(address);
            }
        }
    }

    /// <summary>Judges an address verbatim: false where nothing could ever be reached; <paramref name="own"/> where it is this host.</summary>
    public bool TryJudge(string address, out bool own)
    {
        own = false;

        // IPAddress also reads "[::1]:80", "1" and "0x7f.1": forms that a registration never means.
        bool numeric = address.Contains(':', StringComparison.Ordinal) || address.AsSpan().IndexOfAnyExcept("0123456789.") < 0;
        if (!numeric)
        {
            ReadOnlySpan<char> name = address.EndsWith('.') ? address.AsSpan(0, address.Length - 1) : address;
            own = _ownNames.Count > 0 && _ownNames.GetAlternateLookup<ReadOnlySpan<char>>().Contains(name);
            return name.Length is > 0 and <= 253 && HostNames.IsName(name);
        }

        if (address.Length > 64
            || address.StartsWith('[')
            || (!address.Contains(':', StringComparison.Ordinal) && address.AsSpan().Count('.') != 3)
            || !IPAddress.TryParse(address, out IPAddress? ip))
        {
            return false;
        }

        ip = Plain(ip);
        own = _ownAddresses.Contains(ip);
        return !ip.Equals(IPAddress.Any) && !ip.Equals(IPAddress.IPv6Any);
    }

    private static IPAddress Plain(IPAddress ip) => ip.IsIPv4MappedToIPv6 ? ip.MapToIPv4() : ip;
}
