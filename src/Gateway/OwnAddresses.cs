using System.Net;
using System.Net.NetworkInformation;
using Gateway.Catalog;
using Gateway.DataPlane.Listening;

namespace Gateway;

/// <summary>Addresses under which an instance would be one of our own listeners.</summary>
internal static class OwnAddresses
{
    /// <summary>Loopback, every listening address, and those of listening interfaces.</summary>
    public static EquatableArray<string> Of(ListeningOptions options)
    {
        SortedSet<string> own = new(StringComparer.Ordinal) { "127.0.0.1", "::1", "localhost" };
        HashSet<string> interfaces = new(StringComparer.Ordinal);
        bool every = false;
        foreach (string address in options.Addresses)
        {
            if (IPAddress.TryParse(address, out IPAddress? ip))
            {
                every |= ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any);
                own.Add(ip.ToString());
            }
            else
            {
                interfaces.Add(address);
            }
        }

        if (every || interfaces.Count > 0)
        {
            foreach (NetworkInterface nic in NetworkInterface.GetAllNetworkInterfaces().Where(n => every || interfaces.Contains(n.Name)))
            {
                own.UnionWith(nic.GetIPProperties().UnicastAddresses.Select(a => a.Address.ToString()));
            }
        }

        return own.ToEquatableArray();
    }
}
